# Makes the C source of the Lua scripts: awk -f scripts.awk scripts/NAME.lua ... >scripts.c
#
# Each file is one script, NAME its place SCRIPT_NAME in `enum store_script` (script.h). A line
# `-- include part` stands for the file parts/PART.lua beside the script, which may include others;
# a script has each part once. Comments, empty lines and indentation are left out: Redis keeps each
# script's text. Written for any awk: in turn mawk, gawk and busybox run it in `make check`.

function die(words) {
  print "scripts.awk: " words >"/dev/stderr"
  failed = 1
  exit 1
}

function quoted(line, out, i, c) {
  out = ""
  for (i = 1; i <= length(line); i++) {
    c = substr(line, i, 1)
    if (c == "\\" || c == "\"") out = out "\\"
    out = out c
  }
  return out
}

function emit(line) {
  if (line ~ /^#!/ && lines) die(file ": #! belongs to the first line of a script")
  lines++
  printf "\n    \"%s\\n\"", quoted(line)
}

# Parameters behind `name` are local variables.
function read_file(name, line, got, n) {
  n = 0
  while ((got = (getline line <name)) > 0) {
    n++
    sub(/^[ \t]+/, "", line)
    sub(/[ \t\r]+$/, "", line)
    if (line ~ /^-- include /) {
      sub(/^-- include /, "", line)
      include(line, name)
    } else if (line != "" && line !~ /^--/) {
      emit(line)
    }
  }
  if (got < 0) die("cannot read " name)
  close(name)
  if (!n) die(name " is empty")
}

function include(part, from) {
  if (part !~ /^[a-z0-9_]+$/) die(from ": not the name of a part: " part)
  if (part in included) return
  included[part] = 1
  read_file(dir "parts/" part ".lua")
}

BEGIN {
  print "/* Made by scripts.awk from scripts/ . Do not edit. */"
  print "#include \"storage/redis/script.h\"\n"
  print "static const char *const text[SCRIPT_MAX] = {"
  for (a = 1; a < ARGC; a++) {
    file = ARGV[a]
    if (file !~ /[^\/]\.lua$/) die("not a script: " file)
    dir = base = file
    sub(/[^\/]*$/, "", dir)
    base = substr(file, length(dir) + 1)
    sub(/\.lua$/, "", base)
    lines = 0
    for (p in included) delete included[p]
    printf "  [SCRIPT_%s] =", toupper(base)
    read_file(file)
    print ","
  }
  print "};\n"
  print "const char *store_script_text(enum store_script script) {\n  return text[script];\n}"
  exit 0
}

END { exit failed }
