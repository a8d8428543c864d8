-- Loads sockcap.lua (the script's argument), and tells which globals it added,
-- changed or removed: all plugins share one table of globals.
local before = {}
for name, value in pairs(_G) do before[name] = value end
dofile(...)
for name, value in pairs(_G) do
  if before[name] ~= value then io.stderr:write("global changed: ", tostring(name), "\n") end
  before[name] = nil
end
for name in pairs(before) do io.stderr:write("global removed: ", tostring(name), "\n") end
io.stderr:write("globals compared\n")
