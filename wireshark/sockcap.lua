-- sockcap.lua: Wireshark's view of a sockcap capture.
-- SPDX-License-Identifier: MIT
--
-- Reads the records that pcapng/FORMAT.md specifies (link type USER0), shows
-- them as sockcap.* fields, and hands the bytes of a stream to Wireshark's own
-- tcp dissector behind a synthetic TCP header, so that reassembly, Follow
-- Stream and the protocols above work as they do on a network.
--
-- One file, unchanged on Lua 5.2 to 5.4 (Wireshark 4.0 to 4.6). Wireshark 4.4
-- and later load no Lua when run by root.

if Dissector.get("sockcap") then return end -- loaded twice: plugin folder and -X lua_script

local VERSION = 1
local FIXED_LEN = 88 -- of the header, options follow
local ZERO4, ZERO8, ONES4 = ("\0"):rep(4), ("\0"):rep(8), ("\255"):rep(4)

-- Words of the record's numbers.

local EVENT = {
  "data", "read", "connect", "accept", "listen", "shutdown", "close", "refused", "snapshot", "lost",
}
local SOCKET_TYPE = { [1] = "stream", [2] = "dgram", [5] = "seqpacket" }
local ROLE = { "client", "server" }
local STAMP = { [0] = "queued", [1] = "read", [2] = "waiting" }
local FD_KIND = {
  [0] = "other", [1] = "file", [2] = "pipe", [3] = "socket", [4] = "memfd", [5] = "device", [6] = "pidfd",
}
local ERRNO = { -- Linux, asm-generic
  [1] = "EPERM", [2] = "ENOENT", [4] = "EINTR", [9] = "EBADF", [11] = "EAGAIN", [12] = "ENOMEM",
  [13] = "EACCES", [14] = "EFAULT", [17] = "EEXIST", [20] = "ENOTDIR", [22] = "EINVAL", [23] = "ENFILE",
  [24] = "EMFILE", [32] = "EPIPE", [36] = "ENAMETOOLONG", [40] = "ELOOP", [88] = "ENOTSOCK",
  [90] = "EMSGSIZE", [91] = "EPROTOTYPE", [95] = "EOPNOTSUPP", [97] = "EAFNOSUPPORT", [98] = "EADDRINUSE",
  [103] = "ECONNABORTED", [104] = "ECONNRESET", [105] = "ENOBUFS", [106] = "EISCONN", [107] = "ENOTCONN",
  [109] = "ETOOMANYREFS", [110] = "ETIMEDOUT", [111] = "ECONNREFUSED", [114] = "EALREADY",
  [115] = "EINPROGRESS",
}

-- The fixed header in wire order: abbreviation, type, offset, length, title,
-- then words (the numbers' names), unknown (the bytes that mean "not known":
-- the field is left out) and data (zero is real in a data record only).
local HEADER = {
  { "version", "uint32", 0, 1, "Version" },
  { "event", "string", 1, 1, "Event", words = EVENT },
  { "type", "string", 4, 1, "Socket type", words = SOCKET_TYPE, unknown = "\0" },
  { "role", "string", 5, 1, "Role of the sender", words = ROLE, unknown = "\0" },
  { "pid", "uint32", 8, 4, "Sender PID", unknown = ZERO4 },
  { "tid", "uint32", 12, 4, "Sender TID", unknown = ZERO4 },
  { "uid", "uint32", 16, 4, "Sender UID", unknown = ONES4 },
  { "gid", "uint32", 20, 4, "Sender GID", unknown = ONES4 },
  { "inode", "uint64", 24, 8, "Sender socket inode", unknown = ZERO8 },
  { "peer.pid", "uint32", 32, 4, "Peer PID", unknown = ZERO4 },
  { "peer.tid", "uint32", 36, 4, "Peer TID", unknown = ZERO4 },
  { "peer.uid", "uint32", 40, 4, "Peer UID", unknown = ONES4 },
  { "peer.gid", "uint32", 44, 4, "Peer GID", unknown = ONES4 },
  { "peer.inode", "uint64", 48, 8, "Peer socket inode", unknown = ZERO8 },
  { "connid", "uint64", 56, 8, "Connection ID", unknown = ZERO8 },
  { "offset", "uint64", 64, 8, "Stream offset", unknown = ZERO8, data = true },
  { "message", "uint64", 72, 8, "Message number", unknown = ZERO8 },
  { "len", "uint32", 80, 4, "Length", unknown = ZERO4, data = true },
  { "message.len", "uint32", 84, 4, "Message length", unknown = ONES4 },
}

-- The options: what part of the record their value is. A size is exact.
local OPTION = {
  [1] = { "comm", "string", "Sender command" },
  [2] = { "thread", "string", "Sender thread" },
  [3] = { "path", "string", "Path" },
  [4] = { "peer.comm", "string", "Peer command" },
  [5] = { nil, "string", "Peer thread" },
  [6] = { "exe", "string", "Executable" },
  [7] = { "cgroup", "string", "Control group" },
  [8] = { "container", "string", "Container" },
  [9] = { "pod", "string", "Pod" },
  [10] = { "unit", "string", "Unit" },
  [11] = { "errno", "uint32", "Error", size = 4 },
  [12] = { "netns", "uint32", "Network namespace", size = 4 },
  [13] = { "lost", "uint64", "Bytes lost before", size = 8 },
  [14] = { "skipped", "uint64", "Bytes left out by the filter before", size = 8 },
  [15] = { "reader", "group", "Reader", least = 8 },
  [16] = { "latency", "double", "Latency (seconds)", size = 8 },
  [17] = { "fd.count", "uint32", "Passed descriptors", size = 4 },
  [18] = { "fd", "group", "Passed descriptor", least = 5 },
  [19] = { "cred", "group", "Passed credentials", size = 12 },
  [20] = { nil, "time", "Own time", size = 8 },
}

-- Fields that are a part of an option, bits of the flags, or computed.
local OTHER = {
  { "reader.pid", "uint32", "Reader PID" },
  { "reader.comm", "string", "Reader command" },
  { "cred.pid", "uint32", "Passed PID" },
  { "cred.uid", "uint32", "Passed UID" },
  { "cred.gid", "uint32", "Passed GID" },
  { "fd.num", "uint32", "Descriptor number" },
  { "fd.kind", "string", "Descriptor kind" },
  { "fd.name", "string", "Descriptor name" },
  { "stamp", "string", "Time stamp taken when" },
  { "uncertain", "string", "Uncertain" },
  { "stream", "uint32", "Stream index" },
  { "caplen", "uint32", "Captured length" },
  { "data", "bytes", "Data" },
}

-- Registration.

local sockcap = Proto("sockcap", "Unix socket capture")
local F, fields = {}, {} -- by abbreviation; in order

local function define(abbr, kind, title)
  local make, name = ProtoField[kind], "sockcap." .. abbr
  F[abbr] = abbr == "errno" and make(name, title, base.DEC, ERRNO) or make(name, title)
  fields[#fields + 1] = F[abbr]
end

for _, row in ipairs(HEADER) do define(row[1], row[2], row[5]) end
for i = 1, #OPTION do
  local row = OPTION[i]
  if row[1] and row[2] ~= "group" then define(row[1], row[2], row[3]) end
end
for _, row in ipairs(OTHER) do define(row[1], row[2], row[3]) end
F.truncated = ProtoField.bool("sockcap.truncated", "Truncated", 16, nil, 0x0001)
fields[#fields + 1] = F.truncated
sockcap.fields = fields

local X, experts = {}, {}
for name, row in pairs({
  short = { "Record shorter than its header", expert.group.MALFORMED, expert.severity.ERROR },
  version = { "Unknown version of the record", expert.group.UNDECODED, expert.severity.ERROR },
  header_length = { "Bad header length", expert.group.MALFORMED, expert.severity.ERROR },
  option = { "Bad option", expert.group.MALFORMED, expert.severity.ERROR },
  length = { "More payload than the record stands for", expert.group.MALFORMED, expert.severity.ERROR },
  payload = { "Payload ends early or is malformed", expert.group.MALFORMED, expert.severity.WARN },
  event = { "Unknown event", expert.group.UNDECODED, expert.severity.WARN },
  truncated = { "Not all bytes were captured", expert.group.SEQUENCE, expert.severity.WARN },
  lost = { "Bytes lost before this record", expert.group.SEQUENCE, expert.severity.WARN },
  skipped = { "Bytes left out by the filter before this record", expert.group.SEQUENCE, expert.severity.NOTE },
  uncertain = { "The kernel could not tell for sure", expert.group.SEQUENCE, expert.severity.NOTE },
  continued = { "Later piece of a larger unit", expert.group.REASSEMBLE, expert.severity.CHAT },
}) do
  X[name] = ProtoExpert.new("sockcap.expert." .. name, row[1], row[2], row[3])
  experts[#experts + 1] = X[name]
end
sockcap.experts = experts

-- Bytes, numbers, text.

-- u16 and u32 read big-endian numbers at the zero-based offset at.
local function u16(s, at)
  local a, b = s:byte(at + 1, at + 2)
  return a * 256 + b
end

local function u32(s, at)
  local a, b, c, d = s:byte(at + 1, at + 4)
  return ((a * 256 + b) * 256 + c) * 256 + d
end

-- u64 is exact up to 2^53, which is enough for what is computed from it.
local function u64(s, at) return u32(s, at) * 4294967296 + u32(s, at + 4) end

local function bit_set(number, bit) return number % (2 * bit) >= bit end

local UTF8 = { -- valid sequences of two and more bytes, without the control characters U+0080 to U+009F
  "^\194[\160-\191]", "^[\195-\223][\128-\191]", "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]", "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

-- Characters that show nothing or turn the text around them: U+200B to
-- U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF.
local UNSEEN = { "^\226\128[\139-\143\168-\174]", "^\226\129[\160-\175]", "^\239\187\191" }

-- character is the one at at if it can be shown as it is, else nil.
local function character(s, at)
  if s:find("^[ -~]", at) then return s:sub(at, at) end
  for _, pattern in ipairs(UNSEEN) do
    if s:find(pattern, at) then return nil end
  end
  for _, pattern in ipairs(UTF8) do
    local found = s:match(pattern, at)
    if found then return found end
  end
end

-- printable is s with what can't be shown as \xNN, byte by byte. tshark's
-- -T fields prints a string field's bytes as they are, escapes included.
local function printable(s)
  if not s:find("[^ -~]") then return s end
  local out, at = {}, 1
  while at <= #s do
    local c = character(s, at)
    out[#out + 1] = c or ("\\x%02x"):format(s:byte(at))
    at = at + (c and #c or 1)
  end
  return table.concat(out)
end

-- who names a process as the columns show it, nil if nothing is known.
local function who(comm, pid)
  if pid == 0 and comm == "" then return nil end
  return ("%s[%s]"):format(printable(comm), pid ~= 0 and pid or "?")
end

-- The record's own tree.

-- A View is the record's subtree and knows which fields are worth adding:
-- a field costs more than all else, and most are looked at by nobody.
local View = {}
View.__index = View

local this -- our own Dissector; known once sockcap.dissector is set

local function new_view(tree, range)
  local t = tree:add(sockcap, range)
  return setmetatable({ t = t, all = tree.visible, any = tree.visible or t:referenced(this) }, View)
end

-- add shows a field read from range, as value where that is given.
function View:add(abbr, range, value)
  local field = F[abbr]
  if not (self.all or self.any and self.t:referenced(field)) then return end
  if value == nil then self.t:add(field, range) else self.t:add(field, range, value) end
end

-- compute shows a field that is not in the record.
function View:compute(abbr, value)
  if self.all or self.any and self.t:referenced(F[abbr]) then
    self.t:add(F[abbr], value):set_generated()
  end
end

function View:note(range, text)
  if self.all then self.t:add(range, text) end
end

-- expert says what is wrong; format's arguments follow it.
function View:expert(name, format, ...)
  self.t:add_proto_expert_info(X[name], format:format(...))
end

-- string shows bytes that may be hostile text. Left to itself, Wireshark ends a
-- string at its first NUL, takes it for ASCII, and prints escape sequences.
function View:string(abbr, range, bytes)
  if bytes:find("[^ -~]") then
    self:add(abbr, range, printable(bytes))
  else
    self:add(abbr, range)
  end
end

local function add_header(view, tvb, head, is_data)
  if not view.any then return end
  for _, row in ipairs(HEADER) do
    local at, size = row[3], row[4]
    local bytes = head:sub(at + 1, at + size)
    if bytes ~= row.unknown or row.data and is_data then
      local word
      if row.words then word = row.words[bytes:byte()] or tostring(bytes:byte()) end
      view:add(row[1], tvb(at, size), word)
    end
  end
end

local function add_flags(view, tvb, rec)
  if not (view.any or rec.continued or bit_set(rec.flags, 0x0002) or bit_set(rec.flags, 0x0004)) then return end
  local range = tvb(6, 2)
  if rec.truncated then view:add("truncated", range) end
  if rec.is_data or rec.stamp ~= 0 then
    view:add("stamp", range, STAMP[rec.stamp] or tostring(rec.stamp))
  end
  if bit_set(rec.flags, 0x0002) then
    view:add("uncertain", range, "sender")
    view:expert("uncertain", "which task sent it is not certain")
  end
  if bit_set(rec.flags, 0x0004) then
    view:add("uncertain", range, "order")
    view:expert("uncertain", "its place in the order is not certain")
  end
  if rec.continued then view:expert("continued", "a later piece of a unit begun in an earlier record") end
end

-- What is done with an option beyond showing it, by its type.
local ON_OPTION = {
  [11] = function(rec, bytes) rec.errno = u32(bytes, 0) end,
  [13] = function(rec, _, view, range)
    rec.lost = tostring(range:uint64())
    view:expert("lost", "%s bytes lost before this record", rec.lost)
  end,
  [14] = function(_, _, view, range)
    view:expert("skipped", "%s bytes left out by the filter before this record", tostring(range:uint64()))
  end,
  [15] = function(rec, bytes, view, range)
    rec.reader = who(bytes:sub(9), u32(bytes, 0))
    if bytes:sub(1, 4) ~= ZERO4 then view:add("reader.pid", range(0, 4)) end
    if bytes:sub(5, 8) ~= ZERO4 then view:note(range(4, 4), ("Reader TID: %d"):format(u32(bytes, 4))) end
    if #bytes > 8 then view:string("reader.comm", range(8), bytes:sub(9)) end
  end,
  [16] = function(rec, bytes, view, range)
    rec.latency = u64(bytes, 0) / 1e9
    view:add("latency", range, rec.latency)
  end,
  [18] = function(_, bytes, view, range)
    if bytes:sub(1, 4) ~= ONES4 then view:add("fd.num", range(0, 4)) end
    view:add("fd.kind", range(4, 1), FD_KIND[bytes:byte(5)] or tostring(bytes:byte(5)))
    if #bytes > 5 then view:string("fd.name", range(5), bytes:sub(6)) end
  end,
  [19] = function(_, _, view, range)
    view:add("cred.pid", range(0, 4))
    view:add("cred.uid", range(4, 4))
    view:add("cred.gid", range(8, 4))
  end,
}

-- These go to the columns.
local NAME_OPTION = { [1] = "comm", [3] = "path", [4] = "peer_comm" }

local function add_option(view, tvb, rec, kind, at, bytes)
  local row = OPTION[kind]
  if not row then return view:note(tvb(at - 4, 4 + #bytes), ("Option %d, unknown"):format(kind)) end
  if row.size and row.size ~= #bytes or row.least and row.least > #bytes then
    return view:expert("option", "%s: %d bytes, should be %d", row[3], #bytes, row.size or row.least)
  end
  if NAME_OPTION[kind] then rec[NAME_OPTION[kind]] = bytes end
  if #bytes == 0 or not (view.any or ON_OPTION[kind]) then return end -- a range of no bytes may lie past the end
  local range = tvb(at, #bytes)
  if ON_OPTION[kind] then ON_OPTION[kind](rec, bytes, view, range) end
  if row[2] == "time" then
    local time, second = range:uint64(), UInt64.new(1000000000)
    view:note(range, ("Own time: %s.%09d"):format(tostring(time / second), (time % second):tonumber()))
  elseif not row[1] then
    view:note(range, ("%s: %s"):format(row[3], printable(bytes)))
  elseif row[2] == "string" then
    view:string(row[1], range, bytes)
  elseif row[2]:find("^uint") then
    view:add(row[1], range)
  end
end

-- walk_options shows the options, and says whether they are well formed and
-- of the kind that records of one socket share: names, not events.
local function walk_options(view, tvb, rec)
  local head, at, same = rec.head, FIXED_LEN, true
  local last = #head
  while at < last do
    if last - at < 4 then
      view:expert("option", "%d bytes left, too few for an option", last - at)
      return false
    end
    local kind, size = u16(head, at), u16(head, at + 2)
    at = at + 4
    if size > last - at then
      view:expert("option", "option %d has %d bytes, the header %d more", kind, size, last - at)
      return false
    end
    add_option(view, tvb, rec, kind, at, head:sub(at + 1, at + size))
    same = same and kind <= 10
    at = at + size
  end
  return same
end

-- Where no field is looked at, options seen before need no second reading.
local names, names_count = {}, 0

local function add_options(view, tvb, rec)
  local bytes = rec.head:sub(FIXED_LEN + 1)
  local known = names[bytes]
  if known and not view.any then
    rec.comm, rec.peer_comm, rec.path = known.comm, known.peer_comm, known.path
  elseif walk_options(view, tvb, rec) and not known then
    if names_count == 4096 then names, names_count = {}, 0 end
    names[bytes], names_count = { comm = rec.comm, peer_comm = rec.peer_comm, path = rec.path }, names_count + 1
  end
end

local function add_payload(view, tvb, rec)
  local have = rec.caplen
  if rec.is_data or have > 0 then view:compute("caplen", have) end
  if have > 0 and view.any then view:add("data", tvb(rec.header_len, have)) end
  if have > rec.len then
    view:expert("length", "%d bytes of payload, the record stands for %d", have, rec.len)
  elseif have < rec.len or rec.truncated then
    if not rec.truncated then view:compute("truncated", true) end -- cut by another tool
    view:expert("truncated", "%d of %d bytes captured", have, rec.len)
  end
end

-- Which protocol a socket speaks.

-- By the socket's path; the first row that matches wins. In a glob, * is any
-- bytes and ? any one byte.
local STREAM_PATHS = {
  { "*/docker.sock", "http" }, { "*/podman.sock", "http" },
  { "*/containerd*.sock", "http2" }, { "*/crio.sock", "http2" },
  { "*/.s.PGSQL.*", "pgsql" }, { "*mysql*.sock", "mysql" }, { "*maria*.sock", "mysql" },
  { "*redis*.sock", "redis" }, { "*valkey*.sock", "redis" }, { "*memcached*", "memcached" },
  { "*/.X11-unix/X*", "x11" },
  { "*/dbus/system_bus_socket", "dbus" }, { "*/run/user/*/bus", "dbus" }, { "*/dbus-*", "dbus" },
}
local DATAGRAM_PATHS = {
  { "*/log", "syslog" }, { "*/dev-log", "syslog" },
}

-- The TCP port by which the tcp dissector finds each protocol: Wireshark's
-- own, or a private one for what has none (below). GUESS is for all others.
local PORT = { http = 80, tls = 443, mysql = 3306, pgsql = 5432, x11 = 6000, redis = 6379, memcached = 11211 }
local GUESS = 40999

local tcp, data = Dissector.get("tcp"), Dissector.get("data")
local tcp_port = DissectorTable.get("tcp.port")

local function glob_pattern(glob)
  local pattern = glob:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  return "^" .. pattern .. "$"
end

for _, paths in ipairs({ STREAM_PATHS, DATAGRAM_PATHS }) do
  for _, row in ipairs(paths) do row.pattern = glob_pattern(row[1]) end
end

local function protocol_of(path, paths)
  for _, row in ipairs(paths) do
    if path:find(row.pattern) then return row[2] end
  end
end

-- By the first bytes that one side sends. HTTP/1 without one of these methods
-- and TLS are left to Wireshark's own heuristics.
local HTTP_METHOD = {
  GET = 1, HEAD = 1, POST = 1, PUT = 1, PATCH = 1, DELETE = 1, OPTIONS = 1, CONNECT = 1, TRACE = 1,
}

local function protocol_in(bytes)
  if HTTP_METHOD[bytes:match("^(%u+) [/*%w]")] or bytes:find("^HTTP/1%.[01] %d%d%d") then return "http" end
  if bytes:find("^PRI %* HTTP/2%.0\r\n") then return "http2" end
  if bytes == "\0" or bytes:find("^\0?AUTH ") then return "dbus" end
  if bytes:find("^%*%d+\r\n%$%d+\r\n") then return "redis" end
  if bytes:find("^l\0\11\0\0\0") or bytes:find("^B\0\0\11\0\0") then return "x11" end
  local word = bytes:sub(5, 8) -- StartupMessage 3.0, SSLRequest (PostgreSQL: Message Formats)
  if word == "\0\3\0\0" or word == "\4\210\22\47" then return "pgsql" end
  if bytes:find("^...\0\10%d+%.%d") then return "mysql" end -- a server greeting, protocol 10
end

-- D-Bus on a stream: lines of SASL, then messages, which the dbus dissector
-- takes one at a time. It has a name only from 4.4 on, a link type in all.
local dbus = Proto("sockcap_dbus", "D-Bus stream")
local dbus_sasl = ProtoField.string("sockcap_dbus.sasl", "Authentication")
dbus.fields = { dbus_sasl }
local dbus_message = DissectorTable.get("wtap_encap"):get_dissector(wtap.DBUS)
local DBUS_MAX = 134217728 -- D-Bus specification, Message Protocol

-- dbus_size is the length of the message at at; nil if there is none, 0 if
-- more bytes are needed to tell.
local function dbus_size(tvb, at)
  local left, order = tvb:captured_len() - at, tvb(at, 1):uint()
  if order ~= 0x6c and order ~= 0x42 then return nil end -- l, B
  local kind = left > 1 and tvb(at + 1, 1):uint() or 1
  if kind < 1 or kind > 4 then return nil end -- BEGIN is a line
  if left < 16 then return 0 end
  if tvb(at + 3, 1):uint() ~= 1 then return nil end
  local body, array = tvb(at + 4, 4), tvb(at + 12, 4)
  if order == 0x6c then body, array = body:le_uint(), array:le_uint() else body, array = body:uint(), array:uint() end
  local size = 16 + math.ceil(array / 8) * 8 + body
  return size <= DBUS_MAX and size or nil
end

local function dbus_line(tvb, at, pinfo, tree)
  local bytes = tvb:raw(at, math.min(tvb:captured_len() - at, 4096))
  local last = bytes == "\0" and 1 or bytes:find("\n", 1, true)
  if not last then return #bytes < 4096 and 0 or nil end
  pinfo.cols.protocol = "D-Bus"
  local text = printable((bytes:sub(1, last):gsub("^\0", ""):gsub("\r?\n$", "")))
  pinfo.cols.info = text
  tree:add(dbus, tvb(at, last)):add(dbus_sasl, tvb(at, last), text)
  return last
end

function dbus.dissector(tvb, pinfo, tree)
  local have, at = tvb:captured_len(), 0
  while at < have do
    local size = dbus_size(tvb, at)
    local is_message = size ~= nil
    size = size or dbus_line(tvb, at, pinfo, tree)
    if not size then -- neither: what follows can't be told apart
      data:call(tvb(at):tvb(), pinfo, tree)
      return have
    end
    if size == 0 or size > have - at then
      pinfo.desegment_offset = at
      pinfo.desegment_len = size == 0 and DESEGMENT_ONE_MORE_SEGMENT or size - (have - at)
      return have
    end
    if is_message then pcall(dbus_message.call, dbus_message, tvb(at, size):tvb(), pinfo, tree) end
    at = at + size
  end
  return have
end

-- Conversations.

-- A connection is what both directions of a connection id share. The tables
-- are emptied for each new reading of the file, not between its two passes.
local connections, count = {}, 0
local marks = {} -- the TCP flags and seq of a life-cycle record, by frame number
local current -- the connection whose bytes the tcp dissector has

function sockcap.init() connections, count, marks, current = {}, 0, {}, nil end

-- Both ends' addresses come from the connection id alone: no two collide.
local function address(side, id)
  return Address.ipv6(("fd00:0:0:%s:%x:%x:%x:%x"):format(side, u16(id, 0), u16(id, 2), u16(id, 4), u16(id, 6)))
end

local function connection_of(id)
  if id == ZERO8 then return nil end
  local connection = connections[id]
  if not connection then
    connection = { id = id, stream = count, sent = {}, closed = {} }
    connections[id], count = connection, count + 1
  end
  return connection
end

-- guess looks at the first bytes of a connection whose path says nothing.
local guess = Proto("sockcap_guess", "Unix socket payload")

function guess.dissector(tvb, pinfo, tree)
  local connection = current
  if not connection then return 0 end
  if not connection.protocol then
    connection.protocol = protocol_in(tvb:raw(0, math.min(tvb:captured_len(), 128)))
    connection.since = pinfo.number
  end
  if not connection.protocol or pinfo.number < connection.since then return 0 end
  local payload = tcp_port:get_dissector(PORT[connection.protocol])
  if not payload then return 0 end
  pinfo.can_desegment = 2 -- each level takes one off
  local ok, used = pcall(payload.call, payload, tvb, pinfo, tree)
  return ok and used or tvb:captured_len()
end

-- What has no port of its own gets one above GUESS.
tcp_port:add(GUESS, guess)
for i, row in ipairs({ { "http2", Dissector.get("http2") }, { "dbus", dbus } }) do
  PORT[row[1]] = GUESS + i
  tcp_port:add(GUESS + i, row[2])
end

-- side is which end of the connection sent the record: 1 client, 2 server,
-- nil if that can't be told. Of two ends that nobody named, the lower inode
-- is the client, as in a pair.
local function side_of(rec)
  if ROLE[rec.role] then return rec.role end
  local own, peer = u64(rec.head, 24), u64(rec.head, 48)
  if own == 0 or peer == 0 or own == peer then return nil end
  return own < peer and 1 or 2
end

local PSH, SYN, SYN_ACK, FIN = 0x08, 0x02, 0x12, 0x01

-- mark_of gives the flags and seq of a life-cycle record, nil if it has no
-- place in the TCP conversation. A SYN after the first bytes would begin
-- another one; bytes after a FIN would be taken for sent again and not be
-- dissected, and where records are made on reading, a socket is often closed
-- before its last bytes are read. So a FIN needs all bytes to have been seen.
-- What the first pass decided holds for the second.
local function mark_of(rec, connection, side, pinfo)
  if pinfo.visited then return marks[pinfo.number] end
  local sent, mark = connection.sent, nil
  if rec.event == "connect" and side == 1 and not sent[1] and not sent[2] then
    mark = { SYN, 0 }
  elseif rec.event == "accept" and side == 2 and not sent[2] then
    mark = { SYN_ACK, 0 }
  elseif rec.event == "close" and rec.offset > 0 and rec.offset == sent[side] and not connection.closed[side] then
    mark = { FIN, (u32(rec.head, 68) + 1) % 4294967296 }
    connection.closed[side] = true
  end
  if mark and not sent[side] then sent[side] = 0 end
  marks[pinfo.number] = mark
  return mark
end

local WINDOW = "\255\255\0\0\0\0" -- and no checksum, no urgent pointer

-- call_tcp puts a TCP header in front of the payload. The seq needs no state:
-- it is the offset. A data segment never has the ACK flag: a guessed ack, or a
-- record that the file has in another order, makes tcp drop real data.
local function call_tcp(view, rec, connection, side, pinfo, tree)
  local flags, seq = PSH, (u32(rec.head, 68) + 1) % 4294967296
  if rec.is_data then
    if not pinfo.visited then
      connection.sent[side] = math.max(connection.sent[side] or 0, rec.offset + rec.len)
    end
  else
    local mark = mark_of(rec, connection, side, pinfo)
    if not mark then return false end
    flags, seq = mark[1], mark[2]
  end
  if not connection.client then
    connection.client, connection.server = address("c", connection.id), address("5", connection.id)
    connection.client_port = 49152 + u16(connection.id, 6) % 16384
    connection.server_port = PORT[protocol_of(rec.path, STREAM_PATHS)] or GUESS
  end
  local from, to = connection.client_port, connection.server_port
  pinfo.src, pinfo.dst = connection.client, connection.server
  if side == 2 then
    from, to = to, from
    pinfo.src, pinfo.dst = connection.server, connection.client
  end
  local segment = Struct.pack(">HHIIBB", from, to, seq, flags == SYN_ACK and 1 or 0, 0x50, flags) .. WINDOW
  if rec.caplen > 0 then segment = segment .. rec.bytes:sub(rec.header_len + 1) end
  current = connection
  local ok, reason = pcall(tcp.call, tcp, ByteArray.new(segment, true):tvb("Stream"), pinfo, tree)
  current = nil
  if not ok then view:expert("payload", "%s", printable(tostring(reason))) end
  return true
end

-- call_payload shows what is not part of a TCP conversation: datagrams, and
-- what can't be given a connection or a side.
local function call_payload(view, tvb, rec, pinfo, tree)
  if rec.caplen == 0 then return end
  local whole = not (rec.continued or rec.more)
  local name = rec.socket_type ~= "stream" and whole and protocol_of(rec.path, DATAGRAM_PATHS) or "data"
  local payload = Dissector.get(name) or data
  local ok, reason = pcall(payload.call, payload, tvb(rec.header_len, rec.caplen):tvb(), pinfo, tree)
  if not ok then view:expert("payload", "%s", printable(tostring(reason))) end
end

-- Columns.

-- preview is the payload's first line if it is text.
local function preview(rec)
  if rec.caplen == 0 then return "" end
  local line = rec.bytes:sub(rec.header_len + 1, rec.header_len + 80):match("^[^\r\n\0]*")
  if line == "" or line:find("[\1-\8\14-\31\127]") then return "" end
  return ": " .. printable(line)
end

local INFO = {
  read = function(rec)
    local text = ("read by %s"):format(rec.reader or "?")
    return rec.latency and ("%s after %.6f s"):format(text, rec.latency) or text
  end,
  refused = function(rec) return "refused " .. (ERRNO[rec.errno] or tostring(rec.errno or "?")) end,
  lost = function(rec) return ("lost %s bytes"):format(rec.lost or "?") end,
}

local function set_columns(view, rec, pinfo, unset)
  local own, peer = who(rec.comm, rec.pid), who(rec.peer_comm, rec.peer_pid)
  local path = rec.path ~= "" and printable(rec.path) or nil
  local source, destination = own or rec.role == 2 and path or "?", peer or rec.role ~= 2 and path or "?"
  pinfo.src, pinfo.dst = unset, unset -- else they win over the text
  pinfo.cols.src, pinfo.cols.dst = source, destination
  if view.all then
    view.t:append_text((", %s, Src: %s, Dst: %s, Path: %s"):format(rec.event, source, destination, path or "none"))
  end
  local shown = tostring(pinfo.cols.protocol)
  if rec.is_data and shown ~= "sockcap" and shown ~= "TCP" then return end
  pinfo.cols.protocol = "sockcap"
  if rec.is_data then
    local text = ("%s length %d%s"):format(rec.socket_type, rec.len, preview(rec))
    pinfo.cols.info = path and path .. " " .. text or text -- after what tcp has fenced: "[TCP Previous segment..."
  else
    local text = INFO[rec.event] and INFO[rec.event](rec) or rec.event
    pinfo.cols.info = path and text .. " " .. path or text
  end
end

-- The dissector.

local function refuse(tvb, pinfo, tree, name, format, ...)
  local view = new_view(tree, tvb())
  local text = format:format(...)
  view:expert(name, "%s", text)
  pinfo.cols.info = text
  return tvb:captured_len()
end

local function read_header(bytes, header_len)
  local head, flags = bytes:sub(1, header_len), u16(bytes, 6)
  local event, kind = bytes:byte(2), bytes:byte(5)
  return {
    bytes = bytes, head = head, header_len = header_len, caplen = #bytes - header_len, flags = flags,
    event = EVENT[event] or tostring(event), known = EVENT[event] ~= nil, is_data = EVENT[event] == "data",
    socket_type = SOCKET_TYPE[kind] or tostring(kind), role = bytes:byte(6),
    truncated = bit_set(flags, 0x0001), continued = bit_set(flags, 0x0008), more = bit_set(flags, 0x0010),
    stamp = math.floor(flags / 0x0020) % 4,
    pid = u32(head, 8), peer_pid = u32(head, 32), offset = u64(head, 64), len = u32(head, 80),
    comm = "", peer_comm = "", path = "",
  }
end

local function show_record(tvb, rec, tree)
  local view = new_view(tree, tvb(0, rec.header_len))
  add_header(view, tvb, rec.head, rec.is_data)
  add_flags(view, tvb, rec)
  if not rec.known then view:expert("event", "event %s", rec.event) end
  add_options(view, tvb, rec)
  add_payload(view, tvb, rec)
  return view
end

function sockcap.dissector(tvb, pinfo, tree)
  local captured = tvb:captured_len()
  pinfo.cols.protocol = "sockcap"
  if captured < FIXED_LEN then
    return refuse(tvb, pinfo, tree, "short", "short record: %d of %d bytes", captured, FIXED_LEN)
  end
  local bytes = tvb:raw(0, captured)
  local version, header_len = bytes:byte(1), u16(bytes, 2)
  if version ~= VERSION then
    return refuse(tvb, pinfo, tree, "version", "record version %d: this sockcap.lua knows version %d, get another",
      version, VERSION)
  end
  if header_len < FIXED_LEN or header_len > captured then
    return refuse(tvb, pinfo, tree, "header_length", "header length %d: should be %d to %d, the bytes captured",
      header_len, FIXED_LEN, captured)
  end

  local rec = read_header(bytes, header_len)
  local view = show_record(tvb, rec, tree)
  local connection = connection_of(rec.head:sub(57, 64))
  if connection then view:compute("stream", connection.stream) end

  local unset = pinfo.dl_src -- an address of no type: this link type has none
  local side = rec.socket_type == "stream" and connection and side_of(rec)
  if not (side and call_tcp(view, rec, connection, side, pinfo, tree)) then
    call_payload(view, tvb, rec, pinfo, tree)
  end
  set_columns(view, rec, pinfo, unset)
  return captured
end

this = Dissector.get("sockcap")
DissectorTable.get("wtap_encap"):add(wtap.USER0, sockcap)
if _VERSION ~= "Lua 5.2" then collectgarbage("generational") end -- less memory, from 5.4 on
