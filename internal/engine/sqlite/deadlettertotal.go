package sqlite

import "fmt"

// deadLetterTotalSchema also keeps how much each device has of them, apart for those that came when the device was not
// known.
var deadLetterTotalSchema = totalSchema("dead_letters", "dead_letter_total", "frame") + fmt.Sprintf(`
DROP INDEX IF EXISTS dead_letters_unknown;
CREATE INDEX IF NOT EXISTS dead_letters_device ON dead_letters (device_id);
CREATE TABLE IF NOT EXISTS dead_letter_devices (
	device_id TEXT NOT NULL, unknown INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (device_id, unknown));
CREATE INDEX IF NOT EXISTS dead_letter_devices_most ON dead_letter_devices (unknown DESC, bytes DESC);
INSERT INTO dead_letter_devices
	SELECT coalesce(device_id, ''), known IS 0, sum(coalesce(octet_length(frame), 0) + %[3]d) FROM dead_letters
	WHERE NOT EXISTS (SELECT 1 FROM dead_letter_devices) GROUP BY 1, 2;
CREATE TRIGGER IF NOT EXISTS dead_letters_device_added AFTER INSERT ON dead_letters BEGIN %[1]s END;
CREATE TRIGGER IF NOT EXISTS dead_letters_device_removed AFTER DELETE ON dead_letters BEGIN %[2]s END;
CREATE TRIGGER IF NOT EXISTS dead_letters_device_changed AFTER UPDATE OF frame, device_id, known ON dead_letters BEGIN
	%[2]s %[1]s
END;`, deviceGains, deviceLoses, rowOverhead)

// deviceGains and deviceLoses add a dead letter to its device's and take one from it.
var (
	deviceGains = fmt.Sprintf(`
	INSERT OR IGNORE INTO dead_letter_devices VALUES (coalesce(NEW.device_id, ''), NEW.known IS 0, 0);
	UPDATE dead_letter_devices SET bytes = bytes + coalesce(length(NEW.frame), 0) + %d
		WHERE device_id = coalesce(NEW.device_id, '') AND unknown = (NEW.known IS 0);`, rowOverhead)
	deviceLoses = fmt.Sprintf(`
	UPDATE dead_letter_devices SET bytes = bytes - coalesce(length(OLD.frame), 0) - %d
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0);
	DELETE FROM dead_letter_devices
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0) AND bytes <= 0;`, rowOverhead)
)

const (
	deadLetterBytes = `SELECT bytes FROM dead_letter_total`

	// insertDeadLetter never gives a seq a second time, as SQLite itself would after the newest row is removed. A device
	// is known by a record of it that is kept; a record's id begins with it and a dash, which is followed by a dot in
	// ASCII.
	insertDeadLetter = `INSERT INTO dead_letters (seq, ts, device_id, reason, codec, frame, transport, known)
		VALUES (1 + (SELECT newest_seq FROM dead_letter_total), ?1, ?2, ?3, ?4, ?5, ?6,
			EXISTS (SELECT 1 FROM records WHERE id > ?2 || '-' AND id < ?2 || '.'))`

	// removeFirst removes the oldest dead letter of the device that has most of them, of one that was not known first:
	// what floods removes its own. A row of another program may have no device; then the oldest of all goes.
	removeFirst = `WITH most AS (SELECT device_id, unknown FROM dead_letter_devices
		ORDER BY unknown DESC, bytes DESC LIMIT 1)
		DELETE FROM dead_letters WHERE seq = coalesce(
			(SELECT seq FROM dead_letters WHERE device_id = (SELECT device_id FROM most)
				AND (known IS 0) = (SELECT unknown FROM most) ORDER BY seq LIMIT 1),
			(SELECT min(seq) FROM dead_letters))`
)
