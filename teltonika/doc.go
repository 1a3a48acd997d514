// Package teltonika is the wire protocol of Teltonika GPS trackers: the login, the TCP frame with its
// CRC, AVL data in Codec 7, 8, 8 Extended and 16, messages in Codec 12, 13, 14 and 15, and the UDP channel
// packet. It reads and writes bytes and nothing else: no connections, no policy, no logging, and no
// dependency outside the standard library.
//
// A conversation over TCP:
//
//	device                                server
//	login  000F 3335363330...      →
//	                               ←      01 accept, or 00 refuse      [AppendLoginAnswer]
//	frame  00000000 len data crc   →
//	                               ←      number of records, 4 bytes   [AppendAck]
//	FF     keep-alive, any time    →      (no answer)
//
// A frame is read by its header alone ([ParseHeader]), verified ([Frame.Verify]) and decoded into a
// structure that the caller reuses ([AVLData.Decode]):
//
//	size, err := teltonika.ParseHeader(header, maxLength)
//	frame := teltonika.Frame(buf[:size])
//	err = frame.Verify()
//	err = data.Decode(frame.Body())
//
// [ReadLogin] and [ReadFrame] read them from a connection. [Trace] shows each field of a packet, also of one that is
// damaged.
//
// Every integer on the wire is big-endian. Errors are [*Error]: they name the field and its
// byte offset and say whether the stream can go on after them.
//
// The protocol is described in the vendor's wiki, page "Teltonika Data Sending Protocols": "the vendor's
// page" in comments, which name its sections in quotes and say where real devices differ from it.
package teltonika
