DROP TABLE projection_losses;
ALTER TABLE projection_progress DROP COLUMN event_id, DROP COLUMN next_offset;
