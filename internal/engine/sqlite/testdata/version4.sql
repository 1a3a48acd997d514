BEGIN TRANSACTION;
CREATE TABLE dead_letter_devices (
	device_id TEXT NOT NULL, unknown INTEGER NOT NULL, bytes INTEGER NOT NULL, UNIQUE (device_id, unknown));
INSERT INTO "dead_letter_devices" VALUES('356307042441013',0,194);
CREATE TABLE dead_letter_total (bytes INTEGER NOT NULL, newest_seq INTEGER NOT NULL);
INSERT INTO "dead_letter_total" VALUES(194,1);
CREATE TABLE dead_letters (
	seq INTEGER PRIMARY KEY, ts INTEGER, device_id TEXT, reason TEXT, codec TEXT, frame TEXT, transport TEXT,
	known INTEGER);
INSERT INTO "dead_letters" VALUES(1,1795345201007,'356307042441013','malformed','8','00000000fffe206672616d652031206f6620333536333037303432343431303133','udp',1);
CREATE TABLE marks (
	in_use_ms INTEGER PRIMARY KEY, records_seq INTEGER, dead_letters_seq INTEGER, messages_seq INTEGER);
CREATE TABLE message_total (bytes INTEGER NOT NULL, newest_seq INTEGER NOT NULL);
INSERT INTO "message_total" VALUES(188,1);
CREATE TABLE messages (
	seq INTEGER PRIMARY KEY, ts INTEGER, device_id TEXT, codec TEXT, type INTEGER, sent INTEGER, payload TEXT);
INSERT INTO "messages" VALUES(1,1795345201009,'356307042441013','13',13,1795345201000,'00ff0d0a2061786c652031206f6620333536333037303432343431303133');
CREATE TABLE record_newest (newest_seq INTEGER NOT NULL);
INSERT INTO "record_newest" VALUES(2);
CREATE TABLE records (
	seq INTEGER PRIMARY KEY, id TEXT UNIQUE, device_id TEXT, ts INTEGER, codec TEXT, payload TEXT);
INSERT INTO "records" VALUES(1,'356307042441013-1795345200000-958e3f4807a8699e','356307042441013',1795345200000,'8E','{"device_id":"356307042441013","timestamp":"2026-11-22T11:00:00.000Z","latitude":54.667425,"longitude":25.2560283,"altitude":172,"angle":248,"speed":0,"satellites":11,"priority":1,"attributes":{"9":747,"10":830,"11":913,"12":996,"13":1079,"14":1162,"15":1245,"16":1328,"17":1411,"18":1494,"19":1577,"20":1660,"21":1743,"22":1826,"23":1909,"24":1992,"25":2075,"26":2158,"27":2241,"28":2324,"29":2407,"30":2490,"31":2573,"32":2656,"33":2739,"34":2822,"35":2905,"36":2988,"37":3071,"38":3154,"240":1,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}},"event_id":66,"fix":"ok","codec":"8E","received_at":"2026-11-22T11:00:00.000Z","id":"356307042441013-1795345200000-958e3f4807a8699e"}');
INSERT INTO "records" VALUES(2,'356307042441013-1795345201000-958e404807a86b51','356307042441013',1795345201000,'8E','{"device_id":"356307042441013","timestamp":"2026-11-22T11:00:01.000Z","latitude":54.667425,"longitude":25.2560283,"altitude":172,"angle":248,"speed":1,"satellites":11,"priority":1,"attributes":{"9":747,"10":830,"11":913,"12":996,"13":1079,"14":1162,"15":1245,"16":1328,"17":1411,"18":1494,"19":1577,"20":1660,"21":1743,"22":1826,"23":1909,"24":1992,"25":2075,"26":2158,"27":2241,"28":2324,"29":2407,"30":2490,"31":2573,"32":2656,"33":2739,"34":2822,"35":2905,"36":2988,"37":3071,"38":3154,"240":1,"78":{"__bigint":"0"},"385":{"__buffer_b64":"EQ=="}},"event_id":66,"fix":"ok","codec":"8E","received_at":"2026-11-22T11:00:01.000Z","id":"356307042441013-1795345201000-958e404807a86b51"}');
CREATE TABLE retention_clock (in_use_ms INTEGER NOT NULL, boot TEXT NOT NULL, uptime_ms INTEGER NOT NULL);
INSERT INTO "retention_clock" VALUES(0,'',0);
CREATE TRIGGER dead_letters_added AFTER INSERT ON dead_letters BEGIN
	UPDATE dead_letter_total SET bytes = bytes + coalesce(length(NEW.frame), 0) + 128, newest_seq = max(newest_seq, NEW.seq);
END;
CREATE TRIGGER dead_letters_removed AFTER DELETE ON dead_letters BEGIN
	UPDATE dead_letter_total SET bytes = bytes - coalesce(length(OLD.frame), 0) - 128;
END;
CREATE TRIGGER dead_letters_changed AFTER UPDATE OF frame ON dead_letters BEGIN
	UPDATE dead_letter_total SET bytes = bytes + coalesce(length(NEW.frame), 0) - coalesce(length(OLD.frame), 0);
END;
CREATE INDEX dead_letters_device ON dead_letters (device_id);
CREATE INDEX dead_letter_devices_most ON dead_letter_devices (unknown DESC, bytes DESC);
CREATE TRIGGER dead_letters_device_added AFTER INSERT ON dead_letters BEGIN
	INSERT OR IGNORE INTO dead_letter_devices VALUES (coalesce(NEW.device_id, ''), NEW.known IS 0, 0);
	UPDATE dead_letter_devices SET bytes = bytes + coalesce(length(NEW.frame), 0) + 128
		WHERE device_id = coalesce(NEW.device_id, '') AND unknown = (NEW.known IS 0); END;
CREATE TRIGGER dead_letters_device_removed AFTER DELETE ON dead_letters BEGIN
	UPDATE dead_letter_devices SET bytes = bytes - coalesce(length(OLD.frame), 0) - 128
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0);
	DELETE FROM dead_letter_devices
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0) AND bytes <= 0; END;
CREATE TRIGGER dead_letters_device_changed AFTER UPDATE OF frame, device_id, known ON dead_letters BEGIN

	UPDATE dead_letter_devices SET bytes = bytes - coalesce(length(OLD.frame), 0) - 128
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0);
	DELETE FROM dead_letter_devices
		WHERE device_id = coalesce(OLD.device_id, '') AND unknown = (OLD.known IS 0) AND bytes <= 0;
	INSERT OR IGNORE INTO dead_letter_devices VALUES (coalesce(NEW.device_id, ''), NEW.known IS 0, 0);
	UPDATE dead_letter_devices SET bytes = bytes + coalesce(length(NEW.frame), 0) + 128
		WHERE device_id = coalesce(NEW.device_id, '') AND unknown = (NEW.known IS 0);
END;
CREATE TRIGGER messages_added AFTER INSERT ON messages BEGIN
	UPDATE message_total SET bytes = bytes + coalesce(length(NEW.payload), 0) + 128, newest_seq = max(newest_seq, NEW.seq);
END;
CREATE TRIGGER messages_removed AFTER DELETE ON messages BEGIN
	UPDATE message_total SET bytes = bytes - coalesce(length(OLD.payload), 0) - 128;
END;
CREATE TRIGGER messages_changed AFTER UPDATE OF payload ON messages BEGIN
	UPDATE message_total SET bytes = bytes + coalesce(length(NEW.payload), 0) - coalesce(length(OLD.payload), 0);
END;
COMMIT;
PRAGMA user_version = 4;
