# Makes a C source of doc/openapi.json: its text in one constant.
BEGIN {
  print "/* Made by core/admin/openapi.awk from doc/openapi.json. */"
  print "#include \"admin/openapi.h\"\n"
  print "const char openapi_json[] ="
}

# Not by gsub(): awks differ in what a backslash in its replacement is.
function escaped(text,    out, at) {
  out = ""
  while ((at = match(text, /["\\]/)) > 0) {
    out = out substr(text, 1, at - 1) "\\" substr(text, at, 1)
    text = substr(text, at + 1)
  }
  return out text
}
{
  sub(/^ +/, "")
  print "    \"" escaped($0) "\\n\""
}
END { print "    ;\nconst unsigned long openapi_json_len = sizeof openapi_json - 1;" }
