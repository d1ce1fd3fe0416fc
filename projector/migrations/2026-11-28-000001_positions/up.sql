-- MySQL decides where the projector reads on: how far a partition is applied, and which
-- event that was, so that another topic of the same name is told apart.
--
-- event_id: of the record at `offset`; NULL if that names none. next_offset: all before it
-- is dealt with, the markers of transactions and what was lost included.
ALTER TABLE projection_progress ADD COLUMN event_id VARCHAR(36);
ALTER TABLE projection_progress ADD COLUMN next_offset BIGINT;

-- Records that Kafka deleted before the projector had read them: [from_offset, to_offset).
-- An upper bound, since the markers of transactions have offsets, too. Who has mended what
-- was lost (`outboxctl replay`) sets acknowledged_at.
CREATE TABLE IF NOT EXISTS projection_losses (
    topic VARCHAR(249) CHARACTER SET utf8mb4
        /*!80017 COLLATE utf8mb4_0900_bin */ /*M! COLLATE utf8mb4_nopad_bin */ NOT NULL,
    `partition` INT NOT NULL,
    from_offset BIGINT NOT NULL,
    to_offset BIGINT NOT NULL,
    noticed_at DATETIME(6) NOT NULL,
    acknowledged_at DATETIME(6),
    PRIMARY KEY (topic, `partition`, from_offset, to_offset)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
