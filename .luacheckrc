-- luacheck's view of wireshark/sockcap.lua: Lua 5.2 to 5.4 inside Wireshark.
std = "min" -- what 5.1, 5.2, 5.3 and LuaJIT share
max_line_length = 120
read_globals = {
  "Address", "ByteArray", "Dissector", "DissectorTable", "Proto", "ProtoExpert",
  "ProtoField", "Struct", "UInt64", "base", "expert", "wtap",
  "DESEGMENT_ONE_MORE_SEGMENT",
}
