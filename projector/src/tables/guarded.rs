//! `INSERT … ON DUPLICATE KEY UPDATE` of many rows, the update guarded row by row.
