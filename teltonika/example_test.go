package teltonika_test

import (
	"encoding/hex"
	"errors"
	"fmt"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// One frame as it comes from a connection, from header to answer.
func Example() {
	stream, _ := hex.DecodeString("000000000000002608010000018bcfe56800000f116048209892f00078005a0c003c" +
		"000201ef01014230390000010000a57e")

	size, err := teltonika.ParseHeader(stream[:teltonika.HeaderSize], 65536)
	if err != nil {
		fmt.Println("close the connection:", err)
		return
	}
	frame := teltonika.Frame(stream[:size])
	if err := frame.Verify(); err != nil {
		fmt.Println("no answer:", err)
		return
	}
	var data teltonika.AVLData // kept for the next frame
	if err := data.Decode(frame.Body()); err != nil {
		fmt.Println("no answer:", err)
		return
	}
	for i := range data.Records {
		r := &data.Records[i]
		fmt.Printf("%d ms: %d, %d, %d km/h\n", r.Timestamp, r.Latitude, r.Longitude, r.Speed)
		for _, e := range r.Elements {
			if e.Numeric() {
				fmt.Printf("  element %d = %d\n", e.ID, e.Uint())
			} else {
				fmt.Printf("  element %d = %x\n", e.ID, r.Bytes(e))
			}
		}
	}
	fmt.Printf("answer %x\n", teltonika.AppendAck(nil, len(data.Records)))
	// Output:
	// 1700000000000 ms: 546870000, 252797000, 60 km/h
	//   element 239 = 1
	//   element 66 = 12345
	// answer 00000001
}

func ExampleError() {
	stream, _ := hex.DecodeString("0000000000000003" + "8e0001" + "0000ea61")
	frame, _, _ := teltonika.ParseFrame(stream, 65536)
	var data teltonika.AVLData
	err := data.Decode(frame.Body())
	err = teltonika.Shift(err, teltonika.HeaderSize) // the offset in the frame

	var wrong *teltonika.Error
	if errors.As(err, &wrong) {
		fmt.Println(wrong.Field, "at byte", wrong.Offset)
		fmt.Println("read on:", wrong.StreamOK())
	}
	fmt.Println("counts differ:", errors.Is(err, teltonika.ErrCount))
	// Output:
	// number of data 2 at byte 10
	// read on: true
	// counts differ: true
}

// The packet that a tracker would send.
func ExampleAVLData_AppendFrame() {
	r := teltonika.Record{Timestamp: 1700000000000, Latitude: 546870000, Longitude: 252797000, Satellites: 12}
	r.AddNumber(239, teltonika.Group1, 1)
	r.AddBytes(256, teltonika.GroupX, []byte("VIN"))
	data := teltonika.AVLData{Codec: teltonika.Codec8E, Records: []teltonika.Record{r}}
	frame, err := data.AppendFrame(nil)
	fmt.Printf("%x\n%x\n%v\n", frame[:34], frame[34:], err)
	// Output:
	// 00000000000000338e010000018bcfe56800000f116048209892f0000000000c0000
	// 00000002000100ef0100000000000000010100000356494e010000a453
	// <nil>
}

func ExampleMessages_AppendFrame() {
	command := teltonika.Messages{
		Codec:    teltonika.Codec12,
		Messages: []teltonika.Message{{Type: teltonika.TypeCommand, Payload: []byte("getinfo")}},
	}
	frame, err := command.AppendFrame(nil)
	fmt.Printf("%x %v\n", frame, err)
	// Output: 000000000000000f0c010500000007676574696e666f0100004312 <nil>
}

func ExampleParseDatagram() {
	packet, _ := hex.DecodeString("003dcafe0105000f333532303933303836343033363535" +
		"08010000016b4f815b30010000000000000000000000000000000103021503010101425dbc000001")
	d, err := teltonika.ParseDatagram(packet)
	if err != nil {
		fmt.Println(err)
		return
	}
	var data teltonika.AVLData
	if err := data.Decode(d.Body); err != nil {
		fmt.Println(teltonika.Shift(err, d.BodyOffset()))
		return
	}
	fmt.Printf("%s sent %d record, answer %x\n", d.IMEI, len(data.Records), d.AppendAnswer(nil, len(data.Records)))
	// Output: 352093086403655 sent 1 record, answer 0005cafe010501
}
