package teltonika_test

import (
	"errors"
	"fmt"
	"io"
	"net"

	"git.dev.trmtracking.org/trm/tcp-ingestion/teltonika"
)

// message writes one message of Codec 12.
func message(w io.Writer, kind byte, text string) error {
	packet := teltonika.Messages{
		Codec:    teltonika.Codec12,
		Messages: []teltonika.Message{{Type: kind, Payload: []byte(text)}},
	}
	frame, err := packet.AppendFrame(nil)
	if err != nil {
		return err
	}
	_, err = w.Write(frame)
	return err
}

// readMessage reads one message. A real server takes frames of records in between, and has a deadline.
func readMessage(r io.Reader, kind byte) (string, error) {
	frame, err := teltonika.ReadFrame(r, 65536)
	if err != nil {
		return "", err
	}
	if err := frame.Verify(); err != nil {
		return "", err
	}
	var m teltonika.Messages
	if err := m.Decode(frame.Body()); err != nil {
		return "", err
	}
	if len(m.Messages) != 1 || m.Messages[0].Type != kind {
		return "", errors.New("another message")
	}
	return string(m.Messages[0].Payload), nil
}

// A server that asks a device something, when it has logged in, and the device's answer.
func Example_command() {
	server, device := net.Pipe()
	go func() {
		command, err := readMessage(device, teltonika.TypeCommand)
		if err == nil && command == "getver" {
			message(device, teltonika.TypeResponse, "Ver:03.27.07_00")
		}
	}()
	if err := message(server, teltonika.TypeCommand, "getver"); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(readMessage(server, teltonika.TypeResponse))
	// Output: Ver:03.27.07_00 <nil>
}
