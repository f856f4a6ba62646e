// PCRE2 asks for the code unit width before its header is read; Walet matches UTF-8 bytes.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
