package wireshark

import (
	"errors"
	"fmt"
	"io"
	"strings"
)

// An extcap is a program that Wireshark calls to be a capture interface: asked
// with --extcap-interfaces, --extcap-dlts and --extcap-config it answers in
// sentences, and with --capture --fifo FILE it writes a capture file to FILE.
// Beside that, Wireshark's window and the program exchange control messages.
// The source for both is Wireshark's doc/extcap.adoc and doc/README.extcap.

// Param is a {name=value} of a sentence.
type Param struct{ Name, Value string }

// AppendSentence appends a line of an extcap's answer: the word ("arg",
// "value", "interface", ...) and its parameters. What would end a parameter or
// the line early (braces, control characters) is replaced by a blank; Wireshark
// has no way to quote it.
func AppendSentence(dst []byte, word string, params ...Param) []byte {
	dst = append(dst, word...)
	dst = append(dst, ' ')
	for _, p := range params {
		dst = append(dst, '{')
		dst = append(dst, p.Name...)
		dst = append(dst, '=')
		dst = append(dst, strings.Map(plain, p.Value)...)
		dst = append(dst, '}')
	}
	return append(dst, '\n')
}

func plain(r rune) rune {
	if r == '{' || r == '}' || r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}

// Command is what a control message asks for. Unknown ones are to be ignored.
type Command uint8

// The commands. Wireshark itself sends ControlInitialized, when it is ready,
// and ControlSet; an extcap sends the others too.
const (
	ControlInitialized Command = iota
	ControlSet                 // a control's value; a button was pressed; a log begins anew
	ControlAdd                 // a line to a log
	ControlRemove
	ControlEnable
	ControlDisable
	ControlStatus // a text in the status bar; the number means nothing here and below
	ControlInformation
	ControlWarning
	ControlError
)

// Control is a control message.
type Control struct {
	Number  uint8 // of the control, as in the sentence that made it
	Command Command
	Payload string
}

// maxControl is the longest payload that both sides accept.
const maxControl = 65535

const (
	controlSync   = 'T'
	controlHeader = 6 // 'T', length of what follows it (3 bytes, big-endian), number, command
)

// AppendControl appends the message as it goes through a control pipe. A
// payload of more than 65,535 bytes is cut.
func AppendControl(dst []byte, c Control) []byte {
	c.Payload = c.Payload[:min(len(c.Payload), maxControl)]
	n := len(c.Payload) + 2
	dst = append(dst, controlSync, byte(n>>16), byte(n>>8), byte(n), c.Number, byte(c.Command))
	return append(dst, c.Payload...)
}

// ErrControl says that what came through a control pipe is no message.
var ErrControl = errors.New("not a control message")

// ReadControl reads one message. At the end of r, before a message, it returns
// io.EOF, within one io.ErrUnexpectedEOF; an error that wraps ErrControl leaves
// r at an unknown place.
func ReadControl(r io.Reader) (Control, error) {
	var h [controlHeader]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return Control{}, err
	}
	n := int(h[1])<<16 | int(h[2])<<8 | int(h[3])
	if h[0] != controlSync || n < 2 || n > maxControl+2 {
		return Control{}, fmt.Errorf("%w: begins with % x", ErrControl, h)
	}
	payload := make([]byte, n-2)
	if _, err := io.ReadFull(r, payload); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return Control{}, err
	}
	return Control{h[4], Command(h[5]), string(payload)}, nil
}
