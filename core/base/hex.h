/* Hexadecimal digits. */
#ifndef PB_CORE_HEX_H
#define PB_CORE_HEX_H

/* 0 to 15; -1: no such digit. */
static inline int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | 0x20);
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

#endif
