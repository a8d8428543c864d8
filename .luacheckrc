-- luacheck's view of wireshark/sockcap.lua: Lua 5.2 to 5.4 inside Wireshark.
std = "min" -- what 5.1, 5.2, 5.3 and LuaJIT share
max_line_length = 120
read_globals = {
  "Address", "ByteArray", "Tvb", "TreeItem", "Dissector", "DissectorTable", "Listener", "Pref", "Proto",
  "ProtoExpert", "ProtoField", "TextWindow", "UInt64", "base", "expert",
  "gui_enabled", "register_menu", "register_stat_cmd_arg", "retap_packets", "wtap",
  "DESEGMENT_ONE_MORE_SEGMENT", "MENU_STAT_UNSORTED",
}
