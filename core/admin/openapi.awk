# Makes a C source of doc/openapi.json: its text in one constant.
BEGIN {
  print "/* Made by core/admin/openapi.awk from doc/openapi.json. */"
  print "#include \"admin/openapi.h\"\n"
  print "const char openapi_json[] ="
}
{
  sub(/^ +/, "")
  gsub(/\\/, "\\\\\\\\")
  gsub(/"/, "\\\\\"")
  print "    \"" $0 "\\n\""
}
END { print "    ;\nconst unsigned long openapi_json_len = sizeof openapi_json - 1;" }
