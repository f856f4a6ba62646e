#ifndef WALET_SERVER_FILES_H
#define WALET_SERVER_FILES_H

#include <stddef.h>

/// A file's content, for as long as the process lives.
typedef struct {
    const unsigned char *bytes;
    size_t count;
} walet_server_file;

/// Null and 0 where there is none of the name.
walet_server_file walet_server_file_named(const char *name);

#endif
