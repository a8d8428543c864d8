package pcapng

import (
	"strconv"
	"strings"
)

// The link types of files. A file of records has LinkType, or another of those
// that are for private use (tcpdump.org/linktypes.html) if that one is taken.
const (
	LinkType     = 147 // LINKTYPE_USER0
	LinkTypeLast = 162 // LINKTYPE_USER15
	LinkTypeRaw  = 101 // LINKTYPE_RAW: IP packets, see package raw
)

// isRecordType reports whether files of a link type have records.
func isRecordType(linkType int) bool { return linkType >= LinkType && linkType <= LinkTypeLast }

// LinkTypeName returns the name that libpcap has for one of the link types
// above, USER0 to USER15 or RAW, and the number of any other.
func LinkTypeName(linkType int) string {
	switch {
	case isRecordType(linkType):
		return "USER" + strconv.Itoa(linkType-LinkType)
	case linkType == LinkTypeRaw:
		return "RAW"
	}
	return strconv.Itoa(linkType)
}

// ParseLinkType returns the link type that LinkTypeName gives this name, in
// upper or lower case.
func ParseLinkType(name string) (linkType int, ok bool) {
	if strings.EqualFold(name, LinkTypeName(LinkTypeRaw)) {
		return LinkTypeRaw, true
	}
	for t := LinkType; t <= LinkTypeLast; t++ {
		if strings.EqualFold(name, LinkTypeName(t)) {
			return t, true
		}
	}
	return 0, false
}
