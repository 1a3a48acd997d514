package sqlite

import "fmt"

// rowOverhead is what a dead letter or message counts for beside its bytes in hex.
const rowOverhead = 128

// totalSchema keeps in one row how many bytes a table's rows take, and the highest seq that one has had. Triggers keep
// it right whoever adds and removes rows, and their SQL is such that older clients can run it. hex is the column with
// the bytes.
func totalSchema(table, total, hex string) string {
	return fmt.Sprintf(`
CREATE TABLE IF NOT EXISTS %[2]s (bytes INTEGER NOT NULL, newest_seq INTEGER NOT NULL);
INSERT INTO %[2]s
	SELECT coalesce(sum(coalesce(octet_length(%[3]s), 0) + %[4]d), 0), coalesce(max(seq), 0) FROM %[1]s
	HAVING NOT EXISTS (SELECT 1 FROM %[2]s);
CREATE TRIGGER IF NOT EXISTS %[1]s_added AFTER INSERT ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes + coalesce(length(NEW.%[3]s), 0) + %[4]d, newest_seq = max(newest_seq, NEW.seq);
END;
CREATE TRIGGER IF NOT EXISTS %[1]s_removed AFTER DELETE ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes - coalesce(length(OLD.%[3]s), 0) - %[4]d;
END;
CREATE TRIGGER IF NOT EXISTS %[1]s_changed AFTER UPDATE OF %[3]s ON %[1]s BEGIN
	UPDATE %[2]s SET bytes = bytes + coalesce(length(NEW.%[3]s), 0) - coalesce(length(OLD.%[3]s), 0);
END;`, table, total, hex, rowOverhead)
}
