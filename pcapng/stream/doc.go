// Package stream carries captures of many hosts through a stream of NATS
// JetStream: each host has a [Publisher], and a [Reader] reads all of them as
// one capture, in the order of time.
//
// # What is in a stream
//
// A stream that sockcap makes is called STREAM and takes the subjects STREAM.>,
// of which each host has one: its name after "STREAM.". A name's dots are the
// subject's; a byte that a subject cannot have is %XX. So a server that lets a
// host publish on its subject alone vouches for the name.
//
// A message is a whole pcapng section of one host: Section Header, Interface
// Description, packets; compressed by zstd where that makes it shorter. It needs
// no other message to be read, so that reading may begin anywhere, and what has
// expired takes nothing else with it. The body of one is a file that Wireshark
// opens, and so are the bodies of several, one after the other.
//
// The header Nats-Msg-Id of a message is RUN-NUMBER-BEFORE: 16 hexadecimal
// digits that a Publisher has chosen at random, the number of the message among
// those of that Publisher, from 1 on, and how many packets were in those before.
// By it the server stores once what is sent twice within its window of
// duplicates, a Reader passes over what comes twice all the same, and knows how
// many packets are missing where messages are.
//
// # What is sent
//
// A Publisher has one message on the way at a time, and sends it until the
// server says that it is stored: so the order stays, whatever fails. What is
// written meanwhile becomes the next message, so messages get larger as there is
// more to send or the way is longer. While there is no server, what is written
// is held, compressed, up to a bound; beyond that packets are dropped, counted,
// and the next one that is kept tells of it (epb_dropcount). Writing never
// waits.
//
// # What is read
//
// A Reader merges by time what the hosts sent. It waits for a packet's
// neighbours for Window by the clock of the server, who stamps messages, so a
// host that is silent stops nobody, and stored messages are merged alike however
// fast they are read. A packet that comes later than that still comes, after its
// time. The clock of a host that is ahead of the server's by more than a second
// is not believed.
package stream
