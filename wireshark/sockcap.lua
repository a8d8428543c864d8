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
local STATE = { "listening", "connected", "unconnected", "connecting", "disconnected" }
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
  [21] = { "container.name", "string", "Container name" },
  [22] = { "ns.pid", "uint32", "PID in its own namespace", size = 4 },
  [23] = { "cmdline", "string", "Command line", list = true },
  [24] = { "peer.exe", "string", "Peer executable" },
  [25] = { "peer.cgroup", "string", "Peer control group" },
  [26] = { "peer.container", "string", "Peer container" },
  [27] = { "peer.container.name", "string", "Peer container name" },
  [28] = { "peer.unit", "string", "Peer unit" },
  [29] = { "peer.pod", "string", "Peer pod" },
  [30] = { "secid", "uint32", "Passed security ID", size = 4 },
  [32] = { "state", "word", "State", size = 1 },
  [33] = { "holder", "group", "Holder", least = 13 },
}

local MAX_OPTION = 63 -- there are gaps in the table

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
  { "state", "string", "State" },
  { "holder.pid", "uint32", "Holder PID" },
  { "holder.uid", "uint32", "Holder UID" },
  { "holder.gid", "uint32", "Holder GID" },
  { "holder.comm", "string", "Holder command" },
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
for i = 1, MAX_OPTION do
  local row = OPTION[i]
  if row and row[1] and row[2] ~= "group" and row[2] ~= "word" then define(row[1], row[2], row[3]) end
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
  refused = { "A connect or a send was refused", expert.group.RESPONSE_CODE, expert.severity.WARN },
  fds = { "Descriptors were passed", expert.group.COMMENTS_GROUP, expert.severity.NOTE },
  protocol = { "The dissector asked for is not there", expert.group.UNDECODED, expert.severity.WARN },
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

-- u64 is exact up to 2^53, which is enough for what is computed from it. Not
-- an integer: from Lua 5.3 on, those wrap.
local function u64(s, at) return u32(s, at) * 4294967296.0 + u32(s, at + 4) end

-- Bound once: looking them up costs, record by record, and a method of
-- Wireshark's as much as the call itself.
local char, floor, sub, bytes_of, match = string.char, math.floor, string.sub, string.byte, string.match
local new_bytes, as_tvb, raw, referenced = ByteArray.new, ByteArray.tvb, Tvb.raw, TreeItem.referenced

-- bytes4 is a number in four bytes.
local function bytes4(n)
  return char(floor(n / 16777216), floor(n / 65536) % 256, floor(n / 256) % 256, n % 256)
end

local function bytes2(n) return char(floor(n / 256), n % 256) end

local function bit_set(number, bit) return number % (2 * bit) >= bit end

local UTF8 = { -- valid sequences of two and more bytes, without the control characters U+0080 to U+009F
  "^\194[\160-\191]", "^[\195-\223][\128-\191]", "^\224[\160-\191][\128-\191]",
  "^[\225-\236\238\239][\128-\191][\128-\191]", "^\237[\128-\159][\128-\191]",
  "^\240[\144-\191][\128-\191][\128-\191]", "^[\241-\243][\128-\191][\128-\191][\128-\191]",
  "^\244[\128-\143][\128-\191][\128-\191]",
}

-- Characters that show nothing or turn the text around them: U+00AD, U+0600 to
-- U+0605, U+061C, U+06DD, U+070F, U+180E, U+200B to U+200F, U+2028 to U+202E,
-- U+2060 to U+206F, U+FEFF, U+FFF9 to U+FFFB, U+E0000 to U+E007F.
local UNSEEN = { "^\194\173", "^\216[\128-\133\156]", "^\219\157", "^\220\143", "^\225\160\142",
  "^\239\191[\185-\187]", "^\243\160[\128\129]",
  "^\226\128[\139-\143\168-\174]", "^\226\129[\160-\175]", "^\239\187\191" }

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

-- A cache remembers what would have to be worked out again, and forgets all of
-- it where there is too much.
local function new_cache(most) return { of = {}, count = 0, most = most } end

local function remember(cache, key, value)
  if cache.count == cache.most then cache.of, cache.count = {}, 0 end
  cache.of[key], cache.count = value, cache.count + 1
end

-- Names are what a record's options say, and what the columns make of it.
local Names = {}
Names.__index = Names

local function new_names()
  return setmetatable({ comm = "", peer_comm = "", path = "", labels = new_cache(1024) }, Names)
end

local PID_MOST = 4194304 -- Linux: PID_MAX_LIMIT

-- who_to is who() of both ends.
function Names:who_to(pid, peer_pid)
  local key = pid * PID_MOST + peer_pid
  if pid >= PID_MOST or peer_pid >= PID_MOST then key = pid .. ":" .. peer_pid end -- else another's
  local both = self.labels.of[key]
  if not both then
    both = { who(self.comm, pid), who(self.peer_comm, peer_pid) }
    remember(self.labels, key, both)
  end
  return both[1], both[2]
end

-- shown_path is nil where there is none.
function Names:shown_path()
  if self.shown == nil then self.shown = self.path ~= "" and printable(self.path) end
  return self.shown or nil
end

-- The record's own tree.

-- A View is the record's subtree and knows which fields are worth adding:
-- a field costs more than all else, and most are looked at by nobody. Where
-- nothing is, the subtree itself is made for an expert item only.
local View = {}
View.__index = View

local this -- our own Dissector; known once sockcap.dissector is set
local the_view = setmetatable({}, View) -- there is one at a time

local function new_view(tree, tvb, size)
  local any = referenced(tree, this) -- as everything is where the tree is visible
  local all = any and tree.visible
  local t = any and tree:add(sockcap, tvb(0, size)) or nil
  local view = the_view
  view.t, view.all, view.any, view.tree, view.tvb, view.size = t, all, any, tree, tvb, size
  return view
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
  self.t = self.t or self.tree:add(sockcap, self.tvb(0, self.size))
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
  if not (view.any or rec.flags.noted) then return end
  local range = tvb(6, 2)
  if rec.flags.truncated then view:add("truncated", range) end
  if rec.is_data or rec.flags.stamp ~= 0 then
    view:add("stamp", range, STAMP[rec.flags.stamp] or tostring(rec.flags.stamp))
  end
  if rec.flags.sender then
    view:add("uncertain", range, "sender")
    view:expert("uncertain", "which task sent it is not certain")
  end
  if rec.flags.order then
    view:add("uncertain", range, "order")
    view:expert("uncertain", "its place in the order is not certain")
  end
  if rec.flags.continued then view:expert("continued", "a later piece of a unit begun in an earlier record") end
end

-- What is done with an option beyond showing it, by its type.
local ON_OPTION = {
  [11] = function(rec, bytes) rec.errno = u32(bytes, 0) end,
  [13] = function(rec, bytes, view, range)
    rec.lost = tostring(range:uint64())
    rec.missing = rec.missing + u64(bytes, 0)
    view:expert("lost", "%s bytes lost before this record", rec.lost)
  end,
  [14] = function(rec, bytes, view, range)
    rec.missing = rec.missing + u64(bytes, 0)
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
  [17] = function(_, bytes, view) view:expert("fds", "%d passed", u32(bytes, 0)) end,
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
  [32] = function(rec, bytes, view, range)
    rec.state = STATE[bytes:byte()] or tostring(bytes:byte())
    view:add("state", range, rec.state)
  end,
  [33] = function(_, bytes, view, range)
    local which = bytes:byte()
    if which ~= 1 and which ~= 2 then return end
    view:note(range(0, 1), which == 1 and "Holds the sender's socket" or "Holds the peer's socket")
    view:add("holder.pid", range(1, 4))
    if bytes:sub(6, 9) ~= ONES4 then view:add("holder.uid", range(5, 4)) end
    if bytes:sub(10, 13) ~= ONES4 then view:add("holder.gid", range(9, 4)) end
    if #bytes > 13 then view:string("holder.comm", range(13), bytes:sub(14)) end
  end,
}

-- These go to the columns.
local NAME_OPTION = { [1] = "comm", [3] = "path", [4] = "peer_comm" }

-- These are the same in all records of a socket or nearly so: names, not events.
local STEADY = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, [12] = 12 }
for kind = 21, 29 do STEADY[kind] = kind end

-- add_option shows an option, and says whether it is damaged.
local function add_option(view, tvb, rec, kind, at, bytes)
  local row = OPTION[kind]
  if not row then return view:note(tvb(at - 4, 4 + #bytes), ("Option %d, unknown"):format(kind)) end
  if row.size and row.size ~= #bytes or row.least and row.least > #bytes then
    view:expert("option", "%s: %d bytes, should be %d", row[3], #bytes, row.size or row.least)
    return true
  end
  if NAME_OPTION[kind] then rec.names[NAME_OPTION[kind]] = bytes end
  if #bytes == 0 or not (view.any or ON_OPTION[kind]) then return end -- a range of no bytes may lie past the end
  local range = tvb(at, #bytes)
  if ON_OPTION[kind] then ON_OPTION[kind](rec, bytes, view, range) end
  if row[2] == "time" then
    local time, second = range:uint64(), UInt64.new(1000000000)
    view:note(range, ("Own time: %s.%09d"):format(tostring(time / second), (time % second):tonumber()))
  elseif not row[1] then
    view:note(range, ("%s: %s"):format(row[3], printable(bytes)))
  elseif row.list then -- of words, a NUL between two
    view:add(row[1], range, printable((bytes:gsub("\0", " "))))
  elseif row[2] == "string" then
    view:string(row[1], range, bytes)
  elseif row[2]:find("^uint") then
    view:add(row[1], range)
  end
end

-- walk_options shows the options, and says whether they are well formed and
-- STEADY ones only.
local function walk_options(view, tvb, rec)
  local head, at, last, same = rec.bytes, FIXED_LEN, rec.header_len, true
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
    local bad = add_option(view, tvb, rec, kind, at, head:sub(at + 1, at + size))
    same = same and not bad and STEADY[kind] ~= nil
    at = at + size
  end
  return same
end

-- Where no field is looked at, options seen before need no second reading:
-- mostly they are those of the record before with the same head.
local known_names = new_cache(4096)

local function add_options(view, tvb, rec)
  local bytes = sub(rec.bytes, FIXED_LEN + 1, rec.header_len)
  if bytes == rec.options and not view.any then return end
  local known = known_names.of[bytes]
  rec.options, rec.names = bytes, known
  if not known or view.any then
    rec.names = new_names()
    local same = walk_options(view, tvb, rec)
    if not same then rec.options = nil end
    if same and not known then remember(known_names, bytes, rec.names) end
  end
  local own, peer = rec.names:who_to(rec.pid, rec.peer_pid)
  local path = rec.names:shown_path()
  rec.source, rec.destination = own or rec.role == 2 and path or "?", peer or rec.role ~= 2 and path or "?"
  rec.title = (path and path .. " " or "") .. rec.socket_type .. " length "
end

local function add_payload(view, tvb, rec)
  local have = rec.caplen
  if view.any then
    if rec.is_data or have > 0 then view:compute("caplen", have) end
    if have > 0 then view:add("data", tvb(rec.header_len, have)) end
  end
  if have > rec.len then
    view:expert("length", "%d bytes of payload, the record stands for %d", have, rec.len)
  elseif have < rec.len or rec.flags.truncated then
    if not rec.flags.truncated then view:compute("truncated", true) end -- cut by another tool
    view:expert("truncated", "%d of %d bytes captured", have, rec.len)
  end
end

-- Protocols on streams. Lua allows 200 local names at a time: so some of this
-- file is in blocks.

-- A protocol that Wireshark does not know, or knows only one message at a
-- time, is shown by a Proto of ours. Its fields by name; kind is a ProtoField's.
local function define_proto(abbr, title, rows)
  local proto, own, list = Proto(abbr, title), {}, {}
  for _, row in ipairs(rows) do
    list[#list + 1] = ProtoField[row[2]](abbr .. "." .. row[1], row[3])
    own[row[1]] = list[#list]
  end
  proto.fields = list
  return proto, own
end

-- field is a visible field of text that may be hostile.
local function add_text(tree, field, range, text) return tree:add(field, range, printable(text)) end

local function set_info(pinfo, protocol, texts)
  pinfo.cols.protocol = protocol
  pinfo.cols.info = table.concat(texts, ", ")
end

local tcp, udp, data = Dissector.get("tcp"), Dissector.get("udp"), Dissector.get("data")
local tcp_port, udp_port = DissectorTable.get("tcp.port"), DissectorTable.get("udp.port")

local MESSAGE_MAX = 134217728 -- D-Bus specification, Message Protocol; no other here allows more

-- What one record may put into its tree: Wireshark breaks off, in some versions
-- with a crash, at 500 dissectors inside each other or after each other, and at
-- 1,000,000 items. A large message is shown, nothing more after it.
local NESTED_MOST, SHOWN_MOST, LARGE, LARGE_MOST = 400, 20000, 4096, 262144
local shown_messages, shown_large -- of this record so far

-- each_message cuts a stream into messages, however they are spread over
-- records. size_of(tvb, at, left) is the length of the one at at, and whatever
-- it learnt of it; nil if there is none, 0 if more bytes are needed to tell.
-- show shows one and may return a text for the info column. most is how many a
-- record may have.
local function each_message(protocol, most, tvb, pinfo, tree, size_of, show)
  local have, at, texts = tvb:captured_len(), 0, {}
  while at < have do
    local size, learnt = size_of(tvb, at, have - at)
    if not size or size > MESSAGE_MAX then -- what follows can't be told apart
      data:call(tvb(at):tvb(), pinfo, tree)
      break
    end
    if size == 0 or size > have - at then
      pinfo.desegment_offset = at
      pinfo.desegment_len = size == 0 and DESEGMENT_ONE_MORE_SEGMENT or size - (have - at)
      break
    end
    if shown_messages >= most or shown_large > LARGE_MOST then
      data:call(tvb(at):tvb(), pinfo, tree)
      break
    end
    shown_messages = shown_messages + 1
    if size > LARGE then shown_large = shown_large + size end
    if #texts < 16 then
      texts[#texts + 1] = show(tvb, at, size, pinfo, tree, learnt)
    else
      show(tvb, at, size, pinfo, tree, learnt)
    end
    at = at + size
  end
  if #texts > 0 then set_info(pinfo, protocol, texts) end
  return have
end

-- D-Bus: lines of SASL, then messages, which the dbus dissector takes one at a
-- time. It has a name only from 4.4 on, a link type in all.
local dbus, dbus_field = define_proto("sockcap_dbus", "D-Bus stream", { { "sasl", "string", "Authentication" } })
local dbus_message = DissectorTable.get("wtap_encap"):get_dissector(wtap.DBUS)

local function dbus_line_size(tvb, at, left)
  local bytes = tvb:raw(at, math.min(left, 4096))
  if bytes == "\0" then return 1, "line" end
  local size = bytes:find("\n", 1, true)
  if not size then return #bytes < 4096 and 0 or nil end
  return size, "line"
end

local function dbus_size(tvb, at, left)
  local order = tvb(at, 1):uint()
  local little = order == 0x6c -- l
  local kind = left > 1 and tvb(at + 1, 1):uint() or 1
  if not little and order ~= 0x42 or kind < 1 or kind > 4 then return dbus_line_size(tvb, at, left) end -- B; BEGIN
  if left < 16 then return 0 end
  if tvb(at + 3, 1):uint() ~= 1 then return dbus_line_size(tvb, at, left) end
  local body, array = tvb(at + 4, 4), tvb(at + 12, 4)
  if little then body, array = body:le_uint(), array:le_uint() else body, array = body:uint(), array:uint() end
  return 16 + math.ceil(array / 8) * 8 + body, "message"
end

local function show_dbus(tvb, at, size, pinfo, tree, kind)
  if kind == "message" then
    pcall(dbus_message.call, dbus_message, tvb(at, size):tvb(), pinfo, tree)
    return nil -- which has filled the column
  end
  local text = tvb:raw(at, size):gsub("^\0", ""):gsub("\r?\n$", "")
  add_text(tree:add(dbus, tvb(at, size)), dbus_field.sasl, tvb(at, size), text)
  return printable(text)
end

function dbus.dissector(tvb, pinfo, tree)
  return each_message("D-Bus", NESTED_MOST, tvb, pinfo, tree, dbus_size, show_dbus)
end

-- JSON texts one after the other, with white space, NULs or nothing between:
-- varlink, QEMU's monitor and guest agent, OVSDB and the like.

-- json_string is the place after the string that begins at at, nil if its end
-- is not there.
local function json_string(bytes, at)
  repeat
    at = bytes:find('["\\]', at + 1)
    if not at then return nil end
    local quote = bytes:byte(at) == 34
    if not quote then at = at + 1 end
  until quote
  return at + 1
end

local JSON_MOST = 4194304 -- of a text, and what comes with its last record

-- json_size walks over one text with the white space after it, and learns the
-- names at its top, with those values that are strings, the rest as true.
local function json_size(tvb, at, left)
  if left > JSON_MOST then return nil end
  local bytes = tvb:raw(at, left)
  local first = bytes:find("[^%s\0]")
  if not first then return left, {} end
  if not bytes:find("^[{%[]", first) then return nil end
  local top, depth, pos, name = {}, 0, first, nil
  repeat
    pos = bytes:find('["{}%[%],]', pos)
    if not pos then return 0 end
    local c = bytes:sub(pos, pos)
    if c == '"' then
      local last = json_string(bytes, pos)
      if not last then return 0 end
      if depth == 1 then
        local text = bytes:sub(pos + 1, last - 2)
        if name then
          top[name] = text
        elseif bytes:find("^%s*:", last) then
          name, top[text] = text, true
        end
      end
      pos = last
    else
      if c == "{" or c == "[" then depth = depth + 1 elseif c ~= "," then depth = depth - 1 end
      if depth == 1 then name = nil end
      pos = pos + 1
    end
  until depth == 0
  return (bytes:find("[^%s\0]", pos) or left + 1) - 1, top
end

local json_dissector = Dissector.get("json")

-- json_proto makes a Proto for texts of which these names tell the story.
local function json_proto(abbr, title, short, keys, describe)
  local rows = {}
  for i, name in ipairs(keys) do rows[i] = { name, "string", name:sub(1, 1):upper() .. name:sub(2) } end
  local proto, field = define_proto(abbr, title, rows)
  local function show(tvb, at, size, pinfo, tree, top)
    local range = tvb(at, size)
    local bytes = tvb:raw(at, size)
    local last = #bytes
    while last > 0 and bytes:find("^[%s\0]", last) do last = last - 1 end
    if last == 0 then return nil end -- nothing but white space
    local t = tree:add(proto, range)
    for _, name in ipairs(keys) do
      if top[name] then add_text(t, field[name], range, top[name] == true and "" or top[name]) end
    end
    pcall(json_dissector.call, json_dissector, tvb(at, last):tvb(), pinfo, t)
    local text = describe(top)
    if text then t:append_text(": " .. printable(text)) end
    return printable(text or bytes:sub(1, math.min(last, 80)))
  end
  function proto.dissector(tvb, pinfo, tree)
    return each_message(short, NESTED_MOST, tvb, pinfo, tree, json_size, show)
  end
end

-- first_of says the first of these names that a text has, and its value.
local function first_of(keys)
  return function(top)
    for _, name in ipairs(keys) do
      if top[name] then return top[name] == true and name or name .. " " .. top[name] end
    end
  end
end

json_proto("sockcap_varlink", "Varlink", "Varlink", { "method", "error", "parameters" }, -- varlink.org
  first_of({ "method", "error", "parameters" }))
json_proto("sockcap_qmp", "QEMU Machine Protocol", "QMP",
  { "execute", "event", "error", "return", "id" }, first_of({ "execute", "event", "error", "return", "QMP" }))
json_proto("sockcap_json", "JSON stream", "JSON", { "method", "error", "id" },
  first_of({ "method", "error", "result" }))

-- Messages behind a length of 4 bytes: milter, ssh-agent, ttRPC.

local function size_behind_length(extra, most)
  return function(tvb, at, left)
    if left < 4 then return 0 end
    local size = tvb(at, 4):uint()
    return size <= most and size + extra or nil
  end
end

-- proto_of_kinds makes a Proto for messages that are a length, a byte that
-- says the kind, and the rest. words names the kinds by role and byte.
local function proto_of_kinds(abbr, title, short, most, word_of, detail)
  local proto, field = define_proto(abbr, title,
    { { "length", "uint32", "Length" }, { "kind", "string", "Kind" }, { "data", "bytes", "Data" } })
  local size_of = size_behind_length(4, most)
  local function show(tvb, at, size, _, tree)
    local t = tree:add(proto, tvb(at, size))
    t:add(field.length, tvb(at, 4))
    if size == 4 then return "empty" end
    local word = word_of(tvb(at + 4, 1):uint())
    add_text(t, field.kind, tvb(at + 4, 1), word)
    if size > 5 then t:add(field.data, tvb(at + 5, size - 5)) end
    local more = detail(word, size > 5 and tvb:raw(at + 5, math.min(size - 5, 256)) or "")
    t:append_text(", " .. printable(word))
    return printable(more and word .. " " .. more or word)
  end
  function proto.dissector(tvb, pinfo, tree) return each_message(short, SHOWN_MOST, tvb, pinfo, tree, size_of, show) end
end

local MILTER = { -- libmilter, mfdef.h: what the mail server says in capitals, but for its answer to O
  A = "Abort", B = "Body", C = "Connect", D = "Macro", E = "End of body", H = "HELO", K = "Quit, new connection",
  L = "Header", M = "MAIL FROM", N = "End of headers", O = "Negotiate options", Q = "Quit", R = "RCPT TO", T = "DATA",
  U = "Unknown command",
  ["+"] = "Add recipient", ["-"] = "Delete recipient", ["2"] = "Add recipient with arguments", ["4"] = "Shutdown",
  a = "Accept", b = "Replace body", c = "Continue", d = "Discard", e = "Change sender", f = "Fail connection",
  h = "Add header", i = "Insert header", l = "Set symbol list", m = "Change header", p = "Progress",
  q = "Quarantine", r = "Reject", s = "Skip", t = "Temporary failure", y = "Reply code",
}
local MILTER_TEXT = { HELO = 1, Header = 1, ["MAIL FROM"] = 1, ["RCPT TO"] = 1, Connect = 1, ["Reply code"] = 1,
  ["Add header"] = 1, Quarantine = 1, ["Add recipient"] = 1 }

proto_of_kinds("sockcap_milter", "Milter", "Milter", 1048576,
  function(byte) return MILTER[string.char(byte)] or tostring(byte) end,
  function(word, rest) if MILTER_TEXT[word] then return (rest:gsub("\0+$", ""):gsub("\0", " ")) end end)

local SSH_AGENT = { -- draft-ietf-sshm-ssh-agent, section 6.1; SSH 1's below 11, of which OpenSSH still sends some
  [1] = "Request RSA identities", [2] = "RSA identities answer", [3] = "RSA challenge", [4] = "RSA response",
  [7] = "Add RSA identity", [8] = "Remove RSA identity", [9] = "Remove all RSA identities",
  [5] = "Failure", [6] = "Success", [11] = "Request identities", [12] = "Identities answer", [13] = "Sign request",
  [14] = "Sign response", [17] = "Add identity", [18] = "Remove identity", [19] = "Remove all identities",
  [20] = "Add smart card key", [21] = "Remove smart card key", [22] = "Lock", [23] = "Unlock",
  [25] = "Add constrained identity", [26] = "Add constrained smart card key", [27] = "Extension",
  [28] = "Extension failure", [29] = "Extension response",
}
proto_of_kinds("sockcap_ssh_agent", "SSH agent", "SSH agent", 262144,
  function(byte) return SSH_AGENT[byte] or tostring(byte) end,
  function(word, rest)
    if word == "Identities answer" and #rest >= 4 then return ("(%d)"):format(u32(rest, 0)) end
    if word == "Extension" and #rest >= 4 then return rest:sub(5, 4 + u32(rest, 0)) end
  end)

-- ttRPC, which containerd talks to its shims: a header of 10 bytes, then a
-- protobuf message, in requests and responses ttrpc's own (PROTOCOL.md there).
do
  local ttrpc, ttrpc_field = define_proto("sockcap_ttrpc", "ttRPC", {
    { "length", "uint32", "Length" }, { "stream", "uint32", "Stream" }, { "kind", "string", "Kind" },
    { "service", "string", "Service" }, { "method", "string", "Method" }, { "data", "bytes", "Message" },
  })
  local TTRPC = { "Request", "Response", "Data" }
  local ttrpc_size = size_behind_length(10, 4194304)

  -- protobuf_strings reads the length-delimited fields at the top of a message.
  local function protobuf_strings(bytes)
    local found, at = {}, 1
    local function varint()
      local value, scale = 0, 1
      repeat
        local byte = bytes:byte(at)
        if not byte or scale > 2 ^ 49 then return nil end
        value, scale, at = value + byte % 128 * scale, scale * 128, at + 1
      until byte < 128
      return value
    end
    while at <= #bytes do
      local key = varint()
      if not key then break end
      local wire = key % 8
      if wire == 2 then
        local size = varint()
        if not size or size > #bytes - at + 1 then break end
        found[math.floor(key / 8)] = bytes:sub(at, at + size - 1)
        at = at + size
      elseif wire == 0 then
        if not varint() then break end
      else
        break
      end
    end
    return found
  end

  local function show_ttrpc(tvb, at, size, _, tree)
    local t, kind = tree:add(ttrpc, tvb(at, size)), tvb(at + 8, 1):uint()
    local word = TTRPC[kind] or tostring(kind)
    t:add(ttrpc_field.length, tvb(at, 4))
    t:add(ttrpc_field.stream, tvb(at + 4, 4))
    t:add(ttrpc_field.kind, tvb(at + 8, 1), word)
    local text = ("%s %d"):format(word, tvb(at + 4, 4):uint())
    if size > 10 then
      local body = tvb(at + 10, size - 10)
      t:add(ttrpc_field.data, body)
      local found = kind == 1 and protobuf_strings(tvb:raw(at + 10, size - 10)) or {}
      if found[1] and found[2] then
        add_text(t, ttrpc_field.service, body, found[1])
        add_text(t, ttrpc_field.method, body, found[2])
        text = ("%s /%s/%s"):format(text, printable(found[1]), printable(found[2]))
      end
    end
    t:append_text(", " .. text)
    return text
  end

  function ttrpc.dissector(tvb, pinfo, tree)
    local function size_of(...)
      local _, _, left = ...
      if left < 10 then return 0 end
      return ttrpc_size(...)
    end
    return each_message("ttRPC", SHOWN_MOST, tvb, pinfo, tree, size_of, show_ttrpc)
  end
end

-- PulseAudio: a descriptor of length, channel, offset and flags, then samples
-- or, on channel 0xffffffff, tagged values: a command and its number first
-- (pulsecore/pstream.c, native-common.h).
do
  local pulse, pulse_field = define_proto("sockcap_pulse", "PulseAudio", {
    { "length", "uint32", "Length" }, { "channel", "uint32", "Channel" }, { "command", "string", "Command" },
    { "tag", "uint32", "Tag" }, { "data", "bytes", "Data" },
  })
  local PULSE_COMMAND = { [101] = "Enable ring channel", [102] = "Disable ring channel", [103] = "Register memfd" }
  for i, word in ipairs({
    "Error", "Timeout", "Reply", "Create playback stream", "Delete playback stream", "Create record stream",
    "Delete record stream", "Exit", "Auth", "Set client name", "Lookup sink", "Lookup source",
    "Drain playback stream", "Stat", "Get playback latency", "Create upload stream", "Delete upload stream",
    "Finish upload stream", "Play sample", "Remove sample", "Get server info", "Get sink info",
    "Get sink info list", "Get source info", "Get source info list", "Get module info", "Get module info list",
    "Get client info", "Get client info list", "Get sink input info", "Get sink input info list",
    "Get source output info", "Get source output info list", "Get sample info", "Get sample info list", "Subscribe",
  }) do
    PULSE_COMMAND[i - 1] = word
  end

  local function pulse_size(tvb, at, left)
    if left < 20 then return 0 end
    local size = tvb(at, 4):uint()
    return size <= 16777216 and 20 + size or nil
  end

  local function show_pulse(tvb, at, size, _, tree)
    local t, control = tree:add(pulse, tvb(at, size)), tvb:raw(at + 4, 4) == ONES4
    t:add(pulse_field.length, tvb(at, 4))
    t:add(pulse_field.channel, tvb(at + 4, 4))
    local text = control and "Control" or ("Samples, channel %d, %d bytes"):format(tvb(at + 4, 4):uint(), size - 20)
    if control and size >= 30 and tvb:raw(at + 20, 1) == "L" and tvb:raw(at + 25, 1) == "L" then
      local command = tvb(at + 21, 4):uint()
      text = ("%s, tag %d"):format(PULSE_COMMAND[command] or command, tvb(at + 26, 4):uint())
      t:add(pulse_field.command, tvb(at + 21, 4), PULSE_COMMAND[command] or tostring(command))
      t:add(pulse_field.tag, tvb(at + 26, 4))
    end
    if size > 20 then t:add(pulse_field.data, tvb(at + 20, size - 20)) end
    t:append_text(": " .. text)
    return text
  end

  function pulse.dissector(tvb, pinfo, tree)
    return each_message("PulseAudio", SHOWN_MOST, tvb, pinfo, tree, pulse_size, show_pulse)
  end
end

local current -- the connection whose bytes the tcp or udp dissector has

-- Wayland: a message is the object's number, its size and opcode in one word,
-- and arguments that the protocol's XML describes, in the byte order of the
-- machine (The Wayland Protocol, chapter 4). Which interface an object has is
-- learnt from the requests that made it. Arguments: i and u numbers, f fixed
-- point, s string, o object, n new object and its interface, a array, h a
-- descriptor, which is passed beside the bytes.
do
  local WAYLAND = { -- of each interface: requests, events
    wl_display = { "sync:n=wl_callback get_registry:n=wl_registry", "error:o,u,s delete_id:u" },
    wl_registry = { "bind:u,s,u,n", "global:u,s,u global_remove:u" },
    wl_callback = { "", "done:u" },
    wl_compositor = { "create_surface:n=wl_surface create_region:n=wl_region", "" },
    wl_shm = { "create_pool:n=wl_shm_pool,h,i release", "format:u" },
    wl_shm_pool = { "create_buffer:n=wl_buffer,i,i,i,i,u destroy resize:i", "" },
    wl_buffer = { "destroy", "release" },
    wl_surface = {
      "destroy attach:o,i,i damage:i,i,i,i frame:n=wl_callback set_opaque_region:o set_input_region:o commit "
        .. "set_buffer_transform:i set_buffer_scale:i damage_buffer:i,i,i,i offset:i,i",
      "enter:o leave:o preferred_buffer_scale:i preferred_buffer_transform:u",
    },
    wl_region = { "destroy add:i,i,i,i subtract:i,i,i,i", "" },
    wl_seat = { "get_pointer:n=wl_pointer get_keyboard:n=wl_keyboard get_touch:n=wl_touch release",
      "capabilities:u name:s" },
    wl_pointer = {
      "set_cursor:u,o,i,i release",
      "enter:u,o,f,f leave:u,o motion:u,f,f button:u,u,u,u axis:u,u,f frame axis_source:u axis_stop:u,u "
        .. "axis_discrete:u,i axis_value120:u,i axis_relative_direction:u,u",
    },
    wl_keyboard = { "release",
      "keymap:u,h,u enter:u,o,a leave:u,o key:u,u,u,u modifiers:u,u,u,u,u repeat_info:i,i" },
    wl_touch = { "release",
      "down:u,u,o,i,f,f up:u,u,i motion:u,i,f,f frame cancel shape:i,f,f orientation:i,f" },
    wl_output = { "release", "geometry:i,i,i,i,i,s,s,i mode:u,i,i,i done scale:i name:s description:s" },
    wl_subcompositor = { "destroy get_subsurface:n=wl_subsurface,o,o", "" },
    wl_subsurface = { "destroy set_position:i,i place_above:o place_below:o set_sync set_desync", "" },
    wl_data_device_manager = { "create_data_source:n=wl_data_source get_data_device:n=wl_data_device,o", "" },
    wl_data_device = { "start_drag:o,o,o,u set_selection:o,u release",
      "data_offer:n=wl_data_offer enter:u,o,f,f,o leave motion:u,f,f drop selection:o" },
    wl_data_source = { "offer:s destroy set_actions:u",
      "target:s send:s,h cancelled dnd_drop_performed dnd_finished action:u" },
    wl_data_offer = { "accept:u,s receive:s,h destroy finish set_actions:u,u",
      "offer:s source_actions:u action:u" },
    xdg_wm_base = { "destroy create_positioner:n=xdg_positioner get_xdg_surface:n=xdg_surface,o pong:u", "ping:u" },
    xdg_surface = { "destroy get_toplevel:n=xdg_toplevel get_popup:n=xdg_popup,o,o set_window_geometry:i,i,i,i "
      .. "ack_configure:u", "configure:u" },
    xdg_toplevel = {
      "destroy set_parent:o set_title:s set_app_id:s show_window_menu:o,u,i,i move:o,u resize:o,u,u "
        .. "set_max_size:i,i set_min_size:i,i set_maximized unset_maximized set_fullscreen:o unset_fullscreen "
        .. "set_minimized",
      "configure:i,i,a close configure_bounds:i,i wm_capabilities:a",
    },
  }
  for _, directions in pairs(WAYLAND) do
    for side, text in ipairs(directions) do
      local calls = {}
      for name, kinds in text:gmatch("([%w_]+):?(%S*)") do
        local call = { name = name }
        for kind, interface in kinds:gmatch("(%a)=?([%w_]*)") do call[#call + 1] = { kind, interface } end
        calls[#calls + 1] = call
      end
      directions[side] = calls
    end
  end

  local wayland, wayland_field = define_proto("sockcap_wayland", "Wayland", {
    { "object", "uint32", "Object" }, { "interface", "string", "Interface" }, { "call", "string", "Request or event" },
    { "opcode", "uint32", "Opcode" }, { "size", "uint32", "Size" }, { "argument", "string", "Argument" },
    { "data", "bytes", "Arguments" },
  })

  local function wayland_size(tvb, at, left)
    if left < 8 then return 0 end
    local size, little = tvb(at + 6, 2):le_uint(), true
    if size < 8 or size % 4 ~= 0 then size, little = tvb(at + 4, 2):uint(), false end
    if size < 8 or size % 4 ~= 0 then return nil end
    return size, little
  end

  -- wayland_arguments reads the arguments of a call as texts; made(number,
  -- interface) is told of each new object. It ends early where bytes are missing.
  local function wayland_arguments(call, tvb, at, last, little, made)
    local texts, before = {}, nil
    local function word(signed)
      if last - at < 4 then return nil end
      local range = tvb(at, 4)
      at = at + 4
      if signed then return little and range:le_int() or not little and range:int() end
      return little and range:le_uint() or not little and range:uint()
    end
    for _, argument in ipairs(call) do
      local kind, text = argument[1]
      if kind == "h" then
        text = "fd"
      else
        local value = word(kind == "i" or kind == "f")
        if not value then break end
        if kind == "s" or kind == "a" then
          if value > last - at then break end
          if kind == "s" then
            before = value > 0 and tvb:raw(at, value):match("^[^\0]*") or ""
            text = '"' .. printable(before) .. '"'
          else
            text = ("array of %d bytes"):format(value)
          end
          at = math.min(at + math.ceil(value / 4) * 4, last)
        elseif kind == "f" then
          text = ("%g"):format(value / 256)
        elseif kind == "o" then
          text = value == 0 and "nil" or "#" .. value
        elseif kind == "n" then
          local interface = argument[2] ~= "" and argument[2] or before or "?"
          made(value, interface)
          text = ("new %s#%d"):format(printable(interface), value)
        else
          text = tostring(value)
        end
      end
      texts[#texts + 1] = text
    end
    return texts
  end

  -- interface_of says what interface an object had when this message was sent:
  -- what the first reading of the file found is kept for the next.
  local function wayland_interface(connection, object, pinfo)
    connection.objects = connection.objects or { [1] = "wl_display" }
    connection.interfaces = connection.interfaces or {}
    local index = pinfo.number .. "/" .. connection.calls
    connection.calls = connection.calls + 1
    if not pinfo.visited then connection.interfaces[index] = connection.objects[object] end
    return connection.interfaces[index]
  end

  local function show_wayland(tvb, at, size, pinfo, tree, little)
    local connection = current
    if not connection then return nil end
    local object, code = tvb(at, 4), tvb(at + (little and 4 or 6), 2)
    local number = little and object:le_uint() or object:uint()
    local opcode = little and code:le_uint() or code:uint()
    local interface = wayland_interface(connection, number, pinfo)
    local calls = WAYLAND[interface]
    local call = calls and calls[connection.side][opcode + 1]
    local name = ("%s#%d.%s"):format(printable(interface or "object"), number, call and call.name or opcode)
    local t = tree:add(wayland, tvb(at, size))
    t:add(wayland_field.object, object, number)
    if interface then add_text(t, wayland_field.interface, object, interface) end
    if call then t:add(wayland_field.call, code, call.name) end
    t:add(wayland_field.opcode, code, opcode)
    t:add(wayland_field.size, tvb(at + (little and 6 or 4), 2), size)
    local texts = call and wayland_arguments(call, tvb, at + 8, at + size, little, function(new, of)
      if not pinfo.visited then connection.objects[new] = of end
    end) or {}
    for _, text in ipairs(texts) do t:add(wayland_field.argument, tvb(at + 8, size - 8), text) end
    if size > 8 then t:add(wayland_field.data, tvb(at + 8, size - 8)) end
    if not call and size > 8 then texts[1] = ("%d bytes"):format(size - 8) end
    local text = ("%s(%s)"):format(name, table.concat(texts, ", "))
    t:append_text(": " .. text)
    return text
  end

  function wayland.dissector(tvb, pinfo, tree)
    return each_message("Wayland", SHOWN_MOST, tvb, pinfo, tree, wayland_size, show_wayland)
  end
end

-- Protocols in datagrams.

-- pairs_proto makes a Proto for datagrams of NAME=value. A name alone on its
-- line has, as in journald's own protocol, a length of 8 bytes and a value of
-- any bytes after it.
local function pairs_proto(abbr, title, short, describe)
  local proto, field = define_proto(abbr, title,
    { { "assignment", "string", "Assignment" }, { "name", "string", "Name" }, { "value", "string", "Value" } })
  function proto.dissector(tvb, pinfo, tree)
    local bytes, at, values, lines = tvb:raw(0, tvb:captured_len()), 1, {}, {}
    local top = tree:add(proto, tvb())
    while at <= #bytes do
      local last = bytes:find("\n", at, true) or #bytes + 1
      local first, split = at, bytes:find("=", at, true)
      local name, value
      if split and split < last then
        name, value = bytes:sub(at, split - 1), bytes:sub(split + 1, last - 1)
      elseif last + 8 <= #bytes and bytes:sub(last + 5, last + 8) == ZERO4 then
        local size = tvb(last, 4):le_uint()
        name, value = bytes:sub(at, last - 1), bytes:sub(last + 9, last + 8 + size)
        last = math.min(last + 9 + size, #bytes + 1)
      else
        name, value = bytes:sub(at, last - 1), ""
      end
      at = last + 1
      if name ~= "" then
        local range = tvb(first - 1, math.min(last, #bytes) - first + 1)
        local t = add_text(top, field.assignment, range, name .. "=" .. value)
        add_text(t, field.name, range, name)
        add_text(t, field.value, range, value)
        values[name], lines[#lines + 1] = value, name .. "=" .. value
      end
    end
    set_info(pinfo, short, { printable(describe(values, lines)) })
    return #bytes
  end
end

pairs_proto("sockcap_notify", "systemd notification", "sd_notify", -- sd_notify(3)
  function(_, lines) return table.concat(lines, " ") end)
pairs_proto("sockcap_journal", "Journal entry", "Journal", -- systemd: Native Journal Protocol
  function(values)
    local from = values.SYSLOG_IDENTIFIER and values.SYSLOG_IDENTIFIER .. ": " or ""
    return from .. (values.MESSAGE or "no MESSAGE")
  end)

-- Which protocol a socket speaks.

-- By the socket's path; the first row that matches wins. In a glob, * is any
-- bytes and ? any one byte. The protocols are those of OWN below, else the
-- names that Wireshark's dissectors have in this version.
local STREAM_PATHS = [[
*/containerd*.sock.ttrpc=ttrpc */containerd/s/*=ttrpc @/containerd-shim/*=ttrpc
*/containerd*.sock=http2 */crio.sock=http2 */cri-dockerd.sock=http2 */dockershim.sock=http2 */buildkitd.sock=http2
*/kubelet/*.sock=http2 */kubelet/*reg.sock=http2 */csi*.sock=http2 */spire*.sock=http2
*/docker.sock=http */docker/plugins/*.sock=http */podman.sock=http */podman/*.sock=http */snapd*.socket=http
*/lxd*/unix.socket=http */incus*/unix.socket=http */cups.sock=http *gunicorn*.sock=http *unicorn*.sock=http
*puma*.sock=http */tailscaled.sock=http */crowdsec*.sock=http
*/dbus/system_bus_socket=dbus */run/user/*/bus=dbus */dbus-*=dbus */at-spi*/bus*=dbus */ibus/*=dbus
*/systemd/private=dbus */system_bus_socket=dbus
*/.s.PGSQL.*=pgsql *mysqlx*.sock=mysqlx *mysql*.sock=mysql *maria*.sock=mysql
*redis*.sock=redis *valkey*.sock=redis *keydb*.sock=redis *memcached*=memcached *mongodb-*.sock=mongo
*/.X11-unix/X*=x11 */wayland-*=wayland */pulse/native=pulse */.pulse-*/native=pulse
*/ldapi=ldap */slapd-*.socket=ldap *mosquitto*=mqtt *mqtt*=mqtt
*lmtp*=smtp *milter*=milter *opendkim*.sock=milter *opendmarc*.sock=milter *php*.sock=fcgi *fcgi*=fcgi *fastcgi*=fcgi
*qmp*=qmp */libvirt/qemu/*/monitor.sock=qmp *qga*=qmp *guest_agent*=qmp
*/io.systemd.*=varlink */run/varlink/*=varlink *varlink*=varlink */systemd/userdb/*=varlink
*/openvswitch/*.sock=json */spdk*.sock=json
*/ssh-*/agent.*=ssh-agent */openssh_agent=ssh-agent */keyring/ssh=ssh-agent */S.gpg-agent.ssh=ssh-agent
*ssh-agent*=ssh-agent */rpcbind.sock=rpc *nbd*.sock=nbd *vnc*.sock=vnc *spice*.sock=spice
]]
local DATAGRAM_PATHS = [[
*/dev/log=syslog */dev-log=syslog */journal/syslog=syslog */dev/log*=syslog
*/systemd/journal/socket=journal */journal.*/socket=journal
*/systemd/notify*=notify */notify=notify *notify*.sock=notify @*notify*=notify
]]

-- What is ours, has no name in every version, or is called otherwise here.
-- A port is where the tcp dissector has it in all versions.
local OWN = {
  dbus = { name = "sockcap_dbus" }, json = { name = "sockcap_json" }, milter = { name = "sockcap_milter" },
  pulse = { name = "sockcap_pulse" }, qmp = { name = "sockcap_qmp" }, ["ssh-agent"] = { name = "sockcap_ssh_agent" },
  ttrpc = { name = "sockcap_ttrpc" }, varlink = { name = "sockcap_varlink" }, wayland = { name = "sockcap_wayland" },
  journal = { name = "sockcap_journal" }, notify = { name = "sockcap_notify" },
  http = { port = 80 }, ldap = { port = 389 }, memcached = { port = 11211 }, mqtt = { port = 1883 },
  mysql = { port = 3306 }, pgsql = { port = 5432 }, redis = { port = 6379 }, rpc = { port = 111 },
  smtp = { port = 25 }, tls = { port = 443 }, vnc = { port = 5900 }, x11 = { port = 6000 },
}

-- Ports for what has none: PRIVATE and up one for each protocol, and, where a
-- path says nothing, one of GUESS for each path, so that Decode As and its like
-- mean that path. Clients have one of CLIENT. No dissector of Wireshark's has
-- any of these, and Linux gives none of the first two to real connections: what
-- else this Wireshark reads must not change.
local PRIVATE, GUESS, GUESS_COUNT, CLIENT, CLIENT_COUNT = 61000, 62000, 2000, 50000, 4000

local function glob_pattern(glob)
  local pattern = glob:gsub("[%^%$%(%)%%%.%[%]%+%-]", "%%%0"):gsub("%*", ".*"):gsub("%?", ".")
  return "^" .. pattern .. "$"
end

-- parse_paths reads "glob=protocol", many of them between separators.
local function parse_paths(text, separators)
  local rows = {}
  for glob, name in text:gmatch("([^" .. separators .. "]+)=([^=" .. separators .. "]+)") do
    rows[#rows + 1] = { glob_pattern((glob:gsub("^%s+", ""))), (name:gsub("%s", "")) }
  end
  return rows
end

local stream_paths, datagram_paths = parse_paths(STREAM_PATHS, "%s"), parse_paths(DATAGRAM_PATHS, "%s")
local chosen_paths = {} -- by preference

-- The same private port in every file, so that Decode As is remembered rightly.
local private_count = 0
for _, row in ipairs(stream_paths) do
  local own = OWN[row[2]] or {}
  OWN[row[2]] = own
  if not (own.port or own.private) then own.private, private_count = PRIVATE + private_count, private_count + 1 end
end

-- What tcp may call itself. Others, which a preference may name, are called
-- through guess: msgpack, for one, crashes on what tcp hands to dissectors.
local of_tcp = {}
for name in pairs(OWN) do of_tcp[name] = true end
for _, row in ipairs(stream_paths) do of_tcp[row[2]] = true end

-- dissector_of is what shows a protocol, nil if this Wireshark has nothing.
local function dissector_of(name)
  local own = OWN[name]
  if own and own.name then return Dissector.get(own.name) end
  return own and own.port and tcp_port:get_dissector(own.port) or Dissector.get(name)
end

-- protocol_of is the first protocol by path that this Wireshark can show, and
-- that asked for by preference if it can't show that.
local function protocol_of(path, paths)
  if #path > 256 then return nil end -- than any is (unix(7)): globs take long on long ones
  local unknown
  for _, rows in ipairs({ chosen_paths, paths }) do
    for _, row in ipairs(rows) do
      if path:find(row[1]) then
        if dissector_of(row[2]) then return row[2], unknown end
        if rows == chosen_paths then unknown = row[2] end
      end
    end
  end
  return nil, unknown
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
  if bytes:find('^{"QMP"') then return "qmp" end
  if bytes:find('^{%s*"method"%s*:%s*"[%w%-]+%.[%w%.%-]+"') then return "varlink" end
  if bytes:find('^%s*{%s*"[^"%c]*"%s*:') then return "json" end
  if bytes:find("^LHLO ") then return "smtp" end
  -- NBD: a greeting, an option, its reply, a request, a reply and a structured
  -- one, of which Wireshark 4.6's own heuristic trips over one that is split.
  if bytes:find("^NBDMAGIC") or bytes:find("^IHAVEOPT") or bytes:find("^\0\3\232\137\4Ue\169") then return "nbd" end
  if bytes:find("^%%`\149\19..\0") or bytes:find("^gDf\152") or bytes:find("^f\1423\239") then return "nbd" end
  if bytes:find("^\16..?.?.?\0\4MQTT[\3-\5]") then return "mqtt" end
  if bytes:find("^\1\1..\0\8..\0[\1-\3]") then return "fcgi" end -- FCGI_BEGIN_REQUEST
  if bytes:find("^\0\0\0\1[\11\19]$") then return "ssh-agent" end -- a first request without contents
end

-- datagram_in is the same for datagrams.
local function datagram_in(bytes)
  if bytes:find("^<%d%d?%d?>") then return "syslog" end
end

-- path_port is a port of GUESS, the same in every file.
local function path_port(name)
  local sum = 0
  for i = 1, math.min(#name, 4096) do sum = (sum * 31 + name:byte(i)) % GUESS_COUNT end
  return GUESS + sum
end

-- port_of is where tcp has a protocol; a private port is given out here.
local function port_of(name)
  local own = OWN[name]
  if own.private and not own.given then
    if not tcp_port:get_dissector(own.private) then tcp_port:add(own.private, dissector_of(name)) end -- else: Decode As
    own.given = true
  end
  return own.port or own.private
end

-- Conversations.

-- A connection is what both directions of a connection id share. The tables
-- are emptied for each new reading of the file, not between its two passes.
local connections, count = {}, 0
local marks = {} -- the TCP flags and seq of a life-cycle record, by frame number
local acks = {} -- of data records, by frame number
local datagram_protocols = new_cache(4096) -- by path

-- A head is what the first bytes of a record say, up to its offset: the same in
-- most records of one side of a connection. So there is one table for each,
-- and the record is it, with what is its own put in anew.
local HEAD_LEN = 64
local heads = new_cache(4096)

local guessers = {} -- by port: how many connections may need guess

function sockcap.init()
  connections, count, marks, acks, current = {}, 0, {}, {}, nil
  datagram_protocols, heads, guessers = new_cache(4096), new_cache(4096), {}
end

sockcap.prefs.protocols = Pref.string("Protocols by path", "",
  "Which dissector shows the bytes of a socket: GLOB=DISSECTOR, several with ; between, the first that matches. "
    .. "They go before what this script knows, for example /run/app/*.sock=http;@/tmp/control=json")
sockcap.prefs.names = Pref.bool("Processes in the address columns", true,
  "Source and Destination show name[pid]; without this, the made-up addresses of the conversation")

local show_names = true

function sockcap.prefs_changed()
  chosen_paths = parse_paths(sockcap.prefs.protocols, ";")
  show_names = sockcap.prefs.names
end

-- Both ends' addresses come from the connection id alone: no two collide.
local function address(side, id)
  return Address.ipv6(("fd00:0:0:%s:%x:%x:%x:%x"):format(side, u16(id, 0), u16(id, 2), u16(id, 4), u16(id, 6)))
end

-- A flow is what is known of one direction of a connection: sent is where its
-- bytes end (nil before the first), unacked the segments that the other side
-- has not acknowledged; the rest is explained at note_jump and note_data.
local function new_connection(id) return { id = id, { unacked = 0 }, { unacked = 0 } } end -- flows by side

local function connection_of(id)
  if id == ZERO8 then return nil end
  local connection = connections[id]
  if not connection then
    connection = new_connection(id)
    connection.stream = count
    connections[id], count = connection, count + 1
  end
  return connection
end

-- guess looks at the first records of a connection whose path says nothing.
local guess = Proto("sockcap_guess", "Unix socket payload")
local GUESSES = 8 -- for each connection; later records begin anywhere

function guess.dissector(tvb, pinfo, tree)
  local connection = current
  if not connection then return 0 end
  if connection.protocol == nil and not pinfo.visited then
    local found = protocol_in(tvb:raw(0, math.min(tvb:captured_len(), 128)))
    connection.guesses, connection.since = (connection.guesses or 0) + 1, pinfo.number
    if found and dissector_of(found) then
      connection.protocol = found
    elseif connection.guesses == GUESSES then
      connection.protocol = false
    end
  end
  if not connection.protocol or pinfo.number < connection.since then return 0 end
  local payload = dissector_of(connection.protocol)
  pinfo.can_desegment = 2 -- each level takes one off
  local ok, used = pcall(payload.call, payload, tvb, pinfo, tree)
  return ok and used or tvb:captured_len()
end

-- datagram_protocol is what a datagram's path says, else its bytes.
local function datagram_protocol(path, tvb)
  local known = datagram_protocols.of[path]
  if known == nil then
    known = protocol_of(path, datagram_paths) or false
    remember(datagram_protocols, path, known)
  end
  return known or datagram_in(tvb:raw(0, math.min(tvb:captured_len(), 128)))
end

-- datagram is what udp has on the ports of all paths: its own heuristics see
-- in bytes that never were on a network what they please.
local datagram = Proto("sockcap_datagram", "Unix socket datagram")

function datagram.dissector(tvb, pinfo, tree)
  if not current then return 0 end
  local name = datagram_protocol(current.path, tvb)
  local payload = name and dissector_of(name) or data
  local ok, used = pcall(payload.call, payload, tvb, pinfo, tree)
  return ok and used > 0 and used or tvb:captured_len()
end

tcp_port:add(("%d-%d"):format(GUESS, GUESS + GUESS_COUNT - 1), guess) -- so that Decode As offers them

-- A port has guess only while one of its connections may need it, as the call
-- costs more than all else. What Decode As has put on a port stays.
local function begin_guessing(connection, port)
  connection.guess_port, guessers[port] = port, (guessers[port] or 0) + 1
  if not tcp_port:get_dissector(port) then tcp_port:add(port, guess) end
end

local function end_guessing(connection)
  local port = connection.guess_port
  connection.guess_port, guessers[port] = nil, guessers[port] - 1
  if guessers[port] == 0 then tcp_port:remove(port, guess) end
end

udp_port:add(("%d-%d"):format(GUESS, GUESS + GUESS_COUNT - 1), datagram)

-- refused_id is the conversation of a refused connect, which never had one:
-- ids that count from 1 don't come there.
local function refused_id(number) return ONES4 .. bytes4(number) end

-- side is which end of the connection sent the record: 1 client, 2 server,
-- nil if that can't be told. Of two ends that nobody named, the lower inode
-- is the client, as in a pair.
local function side_of(rec)
  if ROLE[rec.role] then return rec.role end
  local own, peer = u64(rec.bytes, 24), u64(rec.bytes, 48)
  if own == 0 or peer == 0 or own == peer then return nil end
  return own < peer and 1 or 2
end

local PSH, PSH_ACK, SYN, SYN_ACK, FIN, RST = 0x08, 0x18, 0x02, 0x12, 0x01, 0x04

-- A gap of 2 GiB or more would seem to be a step back to tcp (RFC 9293, section
-- 3.4). So what follows a gap above JUMP is moved that much closer: a flow's
-- jumps are the offsets from which on, and by how much in all.
local JUMP = 1073741824

local function note_jump(flow, offset, gap)
  local jumps = flow.jumps or {}
  flow.jumps = jumps
  jumps[#jumps + 1] = { offset, (#jumps > 0 and jumps[#jumps][2] or 0) + gap - JUMP }
end

-- seq_of is the sequence number of an offset in what one side sent.
local function seq_of(flow, offset)
  local moved = 0
  for _, jump in ipairs(flow.jumps or {}) do
    if offset >= jump[1] then moved = jump[2] end
  end
  return (offset - moved + 1) % 4294967296
end

-- mark_of gives the flags and seq of a life-cycle record, nil if it has no
-- place in the TCP conversation. A SYN after the first bytes would begin
-- another one; bytes after a FIN would be taken for sent again and not be
-- dissected, and where records are made on reading, a socket is often closed
-- before its last bytes are read. So a FIN needs all bytes to have been seen.
-- What the first pass decided holds for the second.
local function mark_of(rec, connection, side, pinfo)
  if pinfo.visited then return marks[pinfo.number] end
  local own, other, mark = connection[side], connection[3 - side], nil
  if rec.event == "connect" and side == 1 and not own.sent and not other.sent then
    mark = { SYN, 0 }
  elseif rec.event == "accept" and side == 2 and not own.sent then
    mark = { SYN_ACK, 0 }
  elseif rec.event == "refused" and not own.sent and not other.sent then
    mark = { RST, 0, 3 - side } -- from whom it was asked
  elseif rec.event == "close" and rec.offset > 0 and rec.offset == own.sent and not own.closed then
    mark = { FIN, seq_of(own, rec.offset) }
    own.closed = true
  end
  if mark and not own.sent then own.sent = 0 end
  marks[pinfo.number] = mark
  return mark
end

-- 65,535 bytes; no checksum, no urgent pointer. Scaled up by the largest factor
-- (RFC 7323, section 2.2): no sender ever fills it.
local WINDOW = "\255\255\0\0\0\0"
local SYN_OPTIONS = "\2\4\255\255\3\3\14\1" -- the largest segments, too
local PSH_REST = "\0\0\0\0\80\8" .. WINDOW -- no ack, 20 bytes of header, PSH

-- ACK_EVERY is how many segments one side sends before the other acknowledges
-- them: for each segment, tcp walks all that are not.
local ACK_EVERY = 64

-- note_data remembers where the bytes end that follow each other without a gap
-- but for what a record itself says is missing: follow with those that the last
-- record stands for, shown with those that it has.
local function note_data(rec, flow)
  local offset, sent, follow = rec.offset, flow.sent, flow.follow
  local last = offset + rec.len
  if sent and offset - sent >= JUMP then note_jump(flow, offset, offset - sent) end
  if not sent or last > sent then flow.sent = last end
  flow.unacked = flow.unacked + 1
  if not follow or offset - rec.missing <= follow and last > follow then
    flow.follow, flow.shown = last, rec.caplen < rec.len and offset + rec.caplen or last
  end
end

-- open gives a connection its addresses, and the ports that say the protocol.
local function open(connection, rec, paths)
  connection.path = rec.names.path
  connection.ends = { address("c", connection.id), address("5", connection.id) } -- by side
  local name, unknown = protocol_of(rec.names.path, paths)
  local port
  connection.unknown = unknown
  if name and paths == stream_paths and of_tcp[name] then
    port = port_of(name)
  else
    port = path_port(rec.names.path ~= "" and rec.names.path or connection.id)
    connection.protocol, connection.since = name, 0
    if paths == stream_paths then begin_guessing(connection, port) end
  end
  local own = bytes2(CLIENT + u16(connection.id, 6) % CLIENT_COUNT)
  connection.ports = { own .. bytes2(port), bytes2(port) .. own } -- by side
end

local call_dissector = tcp.call

-- call puts a header in front of the payload and has Wireshark show both. It
-- sets what the dissectors above ask for.
local function call(view, dissector, rec, connection, side, header, pinfo, tree)
  local ends = connection.ends
  pinfo.src, pinfo.dst = ends[side], ends[3 - side]
  if connection.unknown then
    view:expert("protocol", "no dissector %s here, which the preference asks for", printable(connection.unknown))
  end
  if rec.caplen > 0 then header = header .. sub(rec.bytes, rec.header_len + 1) end
  connection.side, connection.calls = side, 0
  shown_messages, shown_large = 0, 0
  current = connection
  local ok, reason = pcall(call_dissector, dissector, as_tvb(new_bytes(header, true), "Stream"), pinfo, tree)
  current = nil
  if connection.protocol == false and connection.guess_port then end_guessing(connection) end
  if not ok then view:expert("payload", "%s", printable(tostring(reason))) end
end

-- ack_of is what a data record of one side acknowledges of the other, nil for
-- most. A guessed ack, or one of bytes that a later record of the file has,
-- makes tcp drop real data: it is of what the file has shown.
local function ack_of(rec, connection, side, pinfo)
  if pinfo.visited then return acks[pinfo.number] end
  note_data(rec, connection[side])
  local other = connection[3 - side]
  if other.unacked < ACK_EVERY then return nil end
  other.unacked = 0
  acks[pinfo.number] = seq_of(other, other.shown)
  return acks[pinfo.number]
end

-- call_tcp puts a TCP header in front of the payload. The seq needs no state:
-- it is the offset.
local function call_tcp(view, rec, connection, side, pinfo, tree)
  local ack, flags, seq, length, options = 0, PSH, rec.seq, 0x50, ""
  if rec.is_data then
    ack = ack_of(rec, connection, side, pinfo)
    if ack then flags = PSH_ACK end
    if connection[side].jumps then seq = bytes4(seq_of(connection[side], rec.offset)) end
  else
    local mark = mark_of(rec, connection, side, pinfo)
    if not mark then return false end
    flags, seq, side = mark[1], bytes4(mark[2]), mark[3] or side
    if flags == SYN or flags == SYN_ACK then length, options = 0x70, SYN_OPTIONS end
    if flags == SYN_ACK then ack = 1 end
  end
  if not connection.path then open(connection, rec, stream_paths) end
  local rest = PSH_REST
  if flags ~= PSH then rest = bytes4(ack) .. char(length, flags) .. WINDOW .. options end
  call(view, tcp, rec, connection, side, connection.ports[side] .. seq .. rest, pinfo, tree)
  return true
end

-- call_udp does the same for a whole datagram. The length of one above 64 KiB
-- is 0 (RFC 2675, section 4); the checksum is not looked at, but may not be 0.
local function call_udp(view, rec, connection, side, pinfo, tree)
  if not rec.is_data or rec.flags.continued or rec.flags.more then return false end
  if not connection.path then open(connection, rec, datagram_paths) end
  local size = rec.caplen + 8
  local header = connection.ports[side] .. bytes2(size <= 65535 and size or 0) .. "\255\255"
  call(view, udp, rec, connection, side, header, pinfo, tree)
  return true
end

-- call_payload shows what is not part of a conversation: what can't be given
-- a connection or a side, and the pieces of the largest datagrams.
local function call_payload(view, tvb, rec, pinfo, tree)
  if rec.caplen == 0 then return end
  local payload, part = data, tvb(rec.header_len, rec.caplen):tvb()
  if rec.socket_type ~= "stream" and not (rec.flags.continued or rec.flags.more) then
    local name = datagram_protocol(rec.names.path, part)
    payload = name and dissector_of(name) or data
  end
  local ok, reason = pcall(payload.call, payload, part, pinfo, tree)
  if not ok then view:expert("payload", "%s", printable(tostring(reason))) end
end

-- Columns.

-- ends_line tells whether a line ends at a place: there, at its end, or where
-- only NULs follow, for C programs send their strings whole.
local function ends_line(text, at)
  local byte = bytes_of(text, at)
  return not byte or byte == 10 or byte == 13 or byte == 0 and text:find("^\0+$", at) ~= nil
end

-- words_in are the readable runs of binary data as strings(1) finds them, at
-- most 80 characters of them, each after " .. ".
local function words_in(bytes)
  local text, left = "", 80
  for run in bytes:gmatch("[ -~][ -~][ -~][ -~]+") do
    text = text .. " .. " .. sub(run, 1, left) .. (#run > left and "..." or "")
    left = left - #run
    if left <= 0 then break end
  end
  return text ~= "" and ":" .. text or ""
end

-- preview is the payload's first line if it is text, else its readable words.
local function preview(rec)
  if rec.caplen == 0 then return "" end
  local first = sub(rec.bytes, rec.header_len + 1, rec.header_len + 80)
  local line = match(first, "^[ -~]*")
  if line ~= "" and ends_line(first, #line + 1) then return ": " .. line end
  line = match(match(first, "^[^\r\n]*"), "^(.-)\0*$")
  if line == "" then return "" end
  if line:find("[\0-\8\14-\31\127]") then
    return words_in(sub(rec.bytes, rec.header_len + 1, rec.header_len + 512))
  end
  return ": " .. printable(line)
end

local function errno_word(rec) return ERRNO[rec.errno] or tostring(rec.errno or "?") end

local INFO = {
  read = function(rec)
    local text = ("read by %s"):format(rec.reader or "?")
    return rec.latency and ("%s after %.6f s"):format(text, rec.latency) or text
  end,
  refused = function(rec) return "refused " .. errno_word(rec) end,
  snapshot = function(rec) return rec.state and "snapshot " .. rec.state or "snapshot" end,
  lost = function(rec) return ("lost %s bytes"):format(rec.lost or "?") end,
}

-- sql_in is the text of a PostgreSQL query or of one to prepare, which Wireshark
-- leaves out of its column (PostgreSQL: Message Formats).
local function sql_in(bytes, at)
  local kind = bytes:sub(at, at)
  local text
  if kind == "Q" then
    text = bytes:match("^Q....([^\0]*)", at)
  elseif kind == "P" then
    text = bytes:match("^P....[^\0]*\0([^\0]*)", at)
  end
  return text and text ~= "" and printable((text:sub(1, 200):gsub("%s+", " ")))
end

local function set_columns(view, rec, pinfo, unset)
  local path, cols = rec.names:shown_path(), pinfo.cols
  local source, destination = rec.source, rec.destination
  if show_names then
    pinfo.src, pinfo.dst = unset, unset -- else they win over the text
    cols.src, cols.dst = source, destination
  end
  if view.all then
    view.t:append_text((", %s, Src: %s, Dst: %s, Path: %s"):format(rec.event, source, destination, path or "none"))
  end
  if rec.is_data then
    local shown = tostring(cols.protocol)
    if shown == "PGSQL" and rec.role == 1 then
      local sql = sql_in(rec.bytes, rec.header_len + 1)
      if sql then cols.info:append(" " .. sql) end
    end
    if shown ~= "TCP" and shown ~= "UDP" and shown ~= "sockcap" then return end
  end
  cols.protocol = "sockcap"
  if rec.is_data then
    cols.info = rec.title .. rec.len .. preview(rec) -- after what tcp has fenced: "[TCP Previous segment..."
  else
    local text = INFO[rec.event] and INFO[rec.event](rec) or rec.event
    cols.info = path and text .. " " .. path or text
  end
end

-- The dissector.

-- Who reads this link type for something else has said so in the table
-- user_dlts: what can't be ours is left to that.
local user_dlt = DissectorTable.get("wtap_encap"):get_dissector(wtap.USER0)
local VERSIONS_MOST = 15

local unset -- an address of no type: this link type has none
local last_record -- that was dissected, for the statistics
local begun -- the record of this frame or of that before

local function refuse(tvb, pinfo, tree, name, format, ...)
  local view = new_view(tree, tvb, tvb:captured_len())
  local text = format:format(...)
  view:expert(name, "%s", text)
  pinfo.cols.protocol, pinfo.cols.info = "sockcap", text
  return tvb:captured_len()
end

local known_flags = {} -- by number: what they mean

local function flags_of(number)
  local flags = known_flags[number]
  if not flags then
    flags = {
      truncated = bit_set(number, 0x0001), sender = bit_set(number, 0x0002), order = bit_set(number, 0x0004),
      continued = bit_set(number, 0x0008), more = bit_set(number, 0x0010), stamp = math.floor(number / 0x0020) % 4,
    }
    flags.noted = flags.sender or flags.order or flags.continued
    known_flags[number] = flags
  end
  return flags
end

-- read_head takes the parts that decide what is done, of a record whose head
-- is new.
local function read_head(head)
  local _, event, h1, h2, kind, role, f1, f2 = bytes_of(head, 1, 8)
  local word = EVENT[event]
  local rec = {
    header_len = h1 * 256 + h2, id = sub(head, 57, 64), pid = u32(head, 8), peer_pid = u32(head, 32),
    event = word or tostring(event), known = word ~= nil, is_data = event == 1,
    socket_type = SOCKET_TYPE[kind] or tostring(kind), role = role, flags = flags_of(f1 * 256 + f2),
  }
  remember(heads, head, rec)
  return rec
end

-- read_rest puts in what is the record's own. One call for several bytes and
-- arithmetic on them is a fraction of what Struct.unpack costs.
local function read_rest(rec, bytes)
  local o1, o2, o3, o4, o5, o6, o7, o8 = bytes_of(bytes, 65, 72)
  local l1, l2, l3, l4 = bytes_of(bytes, 81, 84)
  local offset = ((o5 * 256 + o6) * 256 + o7) * 256 + o8
  rec.bytes, rec.caplen = bytes, #bytes - rec.header_len
  rec.offset = (((o1 * 256 + o2) * 256 + o3) * 256 + o4) * 4294967296.0 + offset
  rec.seq = o8 < 255 and char(o5, o6, o7, o8 + 1) or bytes4((offset + 1) % 4294967296)
  rec.len = ((l1 * 256 + l2) * 256 + l3) * 256 + l4
  rec.missing = 0 -- bytes before it; this and what follows is in options
  rec.lost, rec.errno, rec.reader, rec.latency, rec.state = nil, nil, nil, nil, nil
end

local function show_record(tvb, rec, tree)
  local view = new_view(tree, tvb, rec.header_len)
  if view.any then add_header(view, tvb, rec.bytes, rec.is_data) end
  if view.any or rec.flags.noted then add_flags(view, tvb, rec) end
  if not rec.known then view:expert("event", "event %s", rec.event) end
  add_options(view, tvb, rec)
  if rec.event == "refused" then view:expert("refused", "%s", errno_word(rec)) end
  add_payload(view, tvb, rec)
  return view
end

-- unreadable shows a record whose header is not one of ours.
local function unreadable(tvb, pinfo, tree, bytes)
  local captured = #bytes
  if captured < FIXED_LEN then
    return refuse(tvb, pinfo, tree, "short", "short record: %d of %d bytes", captured, FIXED_LEN)
  end
  local version, header_len = bytes_of(bytes), u16(bytes, 2)
  if version > VERSIONS_MOST then
    local ok, used = pcall(call_dissector, user_dlt, tvb, pinfo, tree)
    if ok then return used end
  end
  if version ~= VERSION then
    return refuse(tvb, pinfo, tree, "version", "record version %d: this sockcap.lua knows version %d, get another",
      version, VERSION)
  end
  return refuse(tvb, pinfo, tree, "header_length", "header length %d: should be %d to %d, the bytes captured",
    header_len, FIXED_LEN, captured)
end

-- readable says whether a record's header is one of ours.
local function readable(bytes)
  local captured = #bytes
  if captured < FIXED_LEN or bytes_of(bytes) ~= VERSION then return false end
  local header_len = u16(bytes, 2)
  return header_len >= FIXED_LEN and header_len <= captured
end

-- record_of is the record, nil if it can't be read.
local function record_of(bytes)
  local head = sub(bytes, 1, HEAD_LEN)
  local rec = heads.of[head]
  if not rec or rec.header_len > #bytes then
    if not readable(bytes) then return nil end
    rec = read_head(head)
  end
  read_rest(rec, bytes)
  return rec
end

-- place gives the record its connection and its side of it.
local function place(rec)
  rec.connection = connection_of(rec.id)
  if rec.connection then
    rec.side = side_of(rec)
  elseif rec.event == "refused" then
    rec.side = 1
  end
  rec.placed = true
end

function sockcap.dissector(tvb, pinfo, tree)
  if begun then begun.bytes = nil end -- a head is kept, not the bytes
  last_record, begun = nil, nil
  local bytes = raw(tvb)
  local rec = record_of(bytes)
  if not rec then return unreadable(tvb, pinfo, tree, bytes) end
  begun = rec

  local view = show_record(tvb, rec, tree)
  if not rec.placed then place(rec) end
  local connection, side = rec.connection, rec.side
  if connection and view.any then view:compute("stream", connection.stream) end

  unset = unset or pinfo.dl_src
  if not connection and rec.event == "refused" then connection = new_connection(refused_id(pinfo.number)) end
  local call_transport = rec.socket_type == "stream" and call_tcp or call_udp
  if not (side and call_transport(view, rec, connection, side, pinfo, tree)) then
    pinfo.cols.protocol = "sockcap"
    call_payload(view, tvb, rec, pinfo, tree)
  end
  set_columns(view, rec, pinfo, unset)
  last_record = rec
  return #bytes
end

-- Statistics: a table by path or by process, in the menu and as
-- tshark -z sockcap,path[,FILTER] and -z sockcap,process[,FILTER].

do
  local function new_row()
    return { messages = 0, bytes = 0, received = 0, lost = 0.0, waits = 0, answers = 0 }
  end

  -- note_time keeps count, sum and maximum of a time under one name.
  local function note_time(row, name, seconds)
    row[name] = row[name] + 1
    row[name .. "_sum"] = (row[name .. "_sum"] or 0) + seconds
    row[name .. "_most"] = math.max(row[name .. "_most"] or 0, seconds)
  end

  local function mean_and_most(row, name)
    if row[name] == 0 then return "", "" end
    return ("%.6f"):format(row[name .. "_sum"] / row[name]), ("%.6f"):format(row[name .. "_most"])
  end

  -- A Tally counts what the records of one reading of the file tell.
  local Tally = {}
  Tally.__index = Tally

  local function new_tally(by) return setmetatable({ by = by, rows = {}, message = {}, asked = {} }, Tally) end

  function Tally:row(key)
    self.rows[key] = self.rows[key] or new_row()
    return self.rows[key]
  end

  -- keys of sender, receiver and reader, which are one where paths are asked for.
  function Tally:keys(rec)
    if self.by == "path" then
      local path = rec.names:shown_path() or "(none)"
      return path, path, path
    end
    local own, peer = rec.names:who_to(rec.pid, rec.peer_pid)
    own, peer = own or "(unknown)", peer or "(unknown)"
    return own, peer, rec.reader or peer
  end

  function Tally:count(rec, seconds)
    local own, peer, reader = self:keys(rec)
    if rec.lost then self:row(own).lost = self:row(own).lost + tonumber(rec.lost) end
    if rec.latency then note_time(self:row(reader), "waits", rec.latency) end
    if not rec.is_data then return end
    local row, socket = self:row(own), rec.bytes:sub(25, 32) .. rec.id
    row.bytes = row.bytes + rec.len
    local message = rec.bytes:sub(73, 80)
    if message == ZERO8 and not rec.flags.continued or message ~= ZERO8 and self.message[socket] ~= message then
      row.messages = row.messages + 1
      self.message[socket] = message
    end
    if peer ~= own then self:row(peer).received = self:row(peer).received + rec.len end
    local id = rec.id
    if rec.role == 1 then
      self.asked[id] = seconds
    elseif rec.role == 2 and self.asked[id] then
      note_time(row, "answers", math.max(seconds - self.asked[id], 0))
      self.asked[id] = nil
    end
  end

  -- text is the table, the most bytes first.
  function Tally:text()
    local order = {}
    for key in pairs(self.rows) do order[#order + 1] = key end
    table.sort(order, function(a, b)
      local x, y = self.rows[a], self.rows[b]
      if x.bytes ~= y.bytes then return x.bytes > y.bytes end
      return a < b
    end)
    local by_path = self.by == "path"
    local lines = { { "Messages", "Bytes", "Received", "Lost", "Latency", "max", "Answer", "max",
      by_path and "Path" or "Process" } }
    for _, key in ipairs(order) do
      local row = self.rows[key]
      local wait, wait_most = mean_and_most(row, "waits")
      local answer, answer_most = mean_and_most(row, "answers")
      lines[#lines + 1] = { ("%d"):format(row.messages), ("%d"):format(row.bytes),
        ("%d"):format(row.received), ("%.0f"):format(row.lost), wait, wait_most, answer, answer_most, key }
    end
    local out = {
      ("Unix sockets by %s. Messages and bytes that were sent."):format(self.by),
      "Seconds, mean and longest: queued until read, asked until answered.",
    }
    local widths = { 8, 10, by_path and 0 or 10, 5, 8, 8, 8, 8 }
    for _, line in ipairs(lines) do
      local cells = {}
      for i, width in ipairs(widths) do
        if width > 0 then cells[#cells + 1] = ("%" .. width .. "s"):format(line[i]) end
      end
      out[#out + 1] = table.concat(cells, " ") .. "  " .. line[#line]
    end
    return table.concat(out, "\n") .. "\n"
  end

  -- listen counts from now on; each time the table is wanted, draw gets it.
  local function listen(by, filter, draw)
    local tally = new_tally(by)
    local listener = Listener.new("frame", filter and ("sockcap && (%s)"):format(filter) or "sockcap")
    function listener.packet(pinfo)
      if last_record then tally:count(last_record, pinfo.rel_ts) end
    end
    function listener.draw() draw(tally:text()) end
    function listener.reset() tally = new_tally(by) end
    return listener
  end

  local function show_window(by)
    local window = TextWindow.new("Unix sockets by " .. by)
    local listener = listen(by, nil, function(text) window:set(text) end)
    window:set_atclose(function() listener:remove() end)
    retap_packets()
  end

  for _, by in ipairs({ "path", "process" }) do
    register_stat_cmd_arg("sockcap," .. by, function(argument)
      listen(by, argument and argument:match("^%a+,%a+,(.+)$"), print)
    end)
    if gui_enabled() then
      register_menu("Unix sockets by " .. by, function() show_window(by) end, MENU_STAT_UNSORTED)
    end
  end
end

this = Dissector.get("sockcap")
DissectorTable.get("wtap_encap"):add(wtap.USER0, sockcap)
if _VERSION ~= "Lua 5.2" then collectgarbage("generational") end -- less memory, from 5.4 on
