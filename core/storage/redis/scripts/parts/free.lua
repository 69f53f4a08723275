-- free(...): the act belongs to nobody. Also one of this process whose lease ran out: the answer
--   that gave it the act was lost, for who works at an act keeps the lease.
local function free(owner, till, now, node, me)
  if not owner or tonumber(till or 0) <= now then return true end
  return owner ~= me and string.sub(owner, 1, #node + 1) == node..' '
end
