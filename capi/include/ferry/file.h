/**
 * @file
 * Files. Blocking work runs on the engine's own worker threads, several operations of one file at
 * the same time: what must come one after the other is submitted so (or as a chain).
 *
 * Operations that only the engine's memory takes part in (open, stat, load) end at once when they
 * are cancelled or their deadline passes. One that reads into or writes from memory of the host's
 * ends early only if no worker has begun with it; otherwise it completes when the system lets go
 * of that memory.
 */
#ifndef FERRY_FILE_H
#define FERRY_FILE_H

#include <ferry/request.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describe loading a whole file into memory of the engine's.
 *
 * When it is cancelled or its deadline passes it ends at once, even if the system holds a worker
 * thread for longer (a FIFO that nobody writes, a dead network file system); that thread is counted
 * in @ref ferry_engine_info.workers_detached until it returns.
 *
 * @param[out] request   Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  path      NUL-terminated path; NULL makes the request FERRY_E_INVALID at submit.
 *                       @borrowed until submit has returned.
 * @param[in]  size_max  Largest file to load in bytes; 0 = no limit but the engine's own.
 * @completes with FERRY_BUFFER: data, result = its length, buffer = id to release. An empty file
 *   has result 0 and no buffer. Errors: FERRY_E_NOT_FOUND, FERRY_E_ACCESS, FERRY_E_IS_DIRECTORY,
 *   FERRY_E_LIMIT (larger than size_max or than the engine's buffer_bytes_max allows now),
 *   FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_MEMORY, FERRY_E_IO, FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_load(ferry_request *request, const char *path, uint64_t size_max);

/** Bits of @ref ferry_open_params.open_flags. READ or WRITE must be among them. */
enum {
    FERRY_OPEN_READ = 1u << 0,      /**< For reading. */
    FERRY_OPEN_WRITE = 1u << 1,     /**< For writing. */
    FERRY_OPEN_CREATE = 1u << 2,    /**< Make it if it is not there; with WRITE. */
    FERRY_OPEN_EXCLUSIVE = 1u << 3, /**< Fail with FERRY_E_EXISTS if it is there; with CREATE. */
    FERRY_OPEN_TRUNCATE = 1u << 4,  /**< Make it empty; with WRITE. */
    FERRY_OPEN_APPEND = 1u << 5,    /**< Every write goes to the end; with WRITE. */
    FERRY_OPEN_NO_FOLLOW = 1u << 6  /**< FERRY_E_LOOP if the path's last part is a symbolic link. */
};

/** Values of @ref ferry_file_info.type. */
enum {
    FERRY_FILE_OTHER = 0,     /**< Something else. */
    FERRY_FILE_REGULAR = 1,   /**< A file of bytes. */
    FERRY_FILE_DIRECTORY = 2, /**< A folder. */
    FERRY_FILE_LINK = 3,      /**< A symbolic link. */
    FERRY_FILE_FIFO = 4,      /**< A named pipe. */
    FERRY_FILE_SOCKET = 5,    /**< A Unix socket. */
    FERRY_FILE_CHARACTER = 6, /**< A character device. */
    FERRY_FILE_BLOCK = 7      /**< A block device. */
};

/** What the system knows of a file. Frozen: 128 bytes. Times are ns since 1970-01-01 00:00 UTC. */
typedef struct ferry_file_info {
    uint64_t size;        /**< Bytes. */
    uint64_t allocated;   /**< Bytes that it takes on its file system. */
    int64_t modified_ns;  /**< Last change of its bytes. */
    int64_t changed_ns;   /**< Last change of its metadata. */
    int64_t accessed_ns;  /**< Last read, as far as the system keeps it. */
    int64_t created_ns;   /**< Birth; 0 if the file system does not know. */
    uint64_t device;      /**< The file system it is on. */
    uint64_t inode;       /**< Its number there. */
    uint64_t links;       /**< Names that it has. */
    uint32_t type;        /**< FERRY_FILE_... */
    uint32_t permissions; /**< The lower twelve bits of its mode: 0644 and so on. */
    uint32_t user;        /**< Owner. */
    uint32_t group;       /**< Group. */
    uint32_t block_size;  /**< Good size for reads and writes. */
    uint32_t reserved[9]; /**< 0. */
} ferry_file_info;

/**
 * Describe opening a file.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  path     NUL-terminated; NULL is FERRY_E_INVALID at submit. @borrowed
 * @param[in]  flags    FERRY_OPEN_...; unknown bits are FERRY_E_UNSUPPORTED, impossible
 *                      combinations FERRY_E_INVALID at submit.
 * @param[in]  mode     Permissions of a file that is created, less the umask; 0 = 0666. More than
 *                      07777 is FERRY_E_INVALID at submit.
 * @completes handle = the file. Errors: FERRY_E_NOT_FOUND, FERRY_E_ACCESS, FERRY_E_EXISTS,
 *   FERRY_E_NOT_DIRECTORY, FERRY_E_IS_DIRECTORY, FERRY_E_LOOP, FERRY_E_READ_ONLY,
 *   FERRY_E_NO_SPACE, FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_HANDLES, FERRY_E_NO_MEMORY, FERRY_E_IO,
 *   FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_open(ferry_request *request, const char *path, uint32_t flags,
                                       uint32_t mode);

/**
 * Describe reading.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     Opened for reading.
 * @param[out] buffer   Where to. @pinned
 * @param[in]  size     Its capacity in bytes; 0 is FERRY_E_INVALID at submit.
 * @param[in]  offset   Where in the file; with @ref FERRY_AT_POSITION at its own position, which
 *                      moves.
 * @completes result = bytes read: fewer than size only at the file's end (0: at or beyond it) or
 *   where the file is no regular one. Errors: FERRY_E_BAD_HANDLE, FERRY_E_STALE,
 *   FERRY_E_WRONG_KIND, FERRY_E_ACCESS (not opened for reading), FERRY_E_IS_DIRECTORY, FERRY_E_IO,
 *   FERRY_E_CLOSED, FERRY_E_CANCELED, FERRY_E_TIMED_OUT, FERRY_E_OS.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_read(ferry_request *request, ferry_handle file, void *buffer,
                                       size_t size, uint64_t offset);

/**
 * Describe writing, all of it.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     Opened for writing.
 * @param[in]  data     What to write. @pinned
 * @param[in]  size     Bytes; 0 is FERRY_E_INVALID at submit.
 * @param[in]  offset   Where in the file; with @ref FERRY_AT_POSITION at its own position, which
 *                      moves. A file opened with FERRY_OPEN_APPEND is written at its end in
 *                      either case.
 * @completes result = bytes written, also on failure. Errors: FERRY_E_NO_SPACE,
 *   FERRY_E_FILE_TOO_LARGE, FERRY_E_ACCESS (not opened for writing), FERRY_E_BROKEN_PIPE,
 *   FERRY_E_IO, and as for @ref ferry_prepare_file_read.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_write(ferry_request *request, ferry_handle file, const void *data,
                                        size_t size, uint64_t offset);

/**
 * Describe reading into several pieces of memory, one behind the other in the file.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     Opened for reading.
 * @param[in]  slices   The pieces; the array is borrowed, what it points to is pinned. @pinned
 * @param[in]  count    How many; 0 or more than @ref FERRY_SLICES_MAX is FERRY_E_INVALID at submit,
 *                      as is a sum of 0 bytes.
 * @param[in]  offset   As for @ref ferry_prepare_file_read.
 * @completes as @ref ferry_prepare_file_read.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_read_vectored(ferry_request *request, ferry_handle file,
                                                const ferry_slice *slices, size_t count,
                                                uint64_t offset);

/**
 * Describe writing several pieces of memory, one behind the other in the file.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     Opened for writing.
 * @param[in]  slices   As for @ref ferry_prepare_file_read_vectored. @pinned
 * @param[in]  count    As for @ref ferry_prepare_file_read_vectored.
 * @param[in]  offset   As for @ref ferry_prepare_file_write.
 * @completes as @ref ferry_prepare_file_write.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_write_vectored(ferry_request *request, ferry_handle file,
                                                 const ferry_slice *slices, size_t count,
                                                 uint64_t offset);

/**
 * Describe asking what the system knows of an open file.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     A file.
 * @completes with FERRY_BUFFER: data = a @ref ferry_file_info, result = its bytes. Errors:
 *   FERRY_E_BAD_HANDLE, FERRY_E_STALE, FERRY_E_WRONG_KIND, FERRY_E_IO, FERRY_E_FULL (everything is
 *   lent), FERRY_E_NO_MEMORY, FERRY_E_CLOSED, FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_stat(ferry_request *request, ferry_handle file);

/**
 * Describe asking what the system knows of a path.
 *
 * @param[out] request    Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  path       NUL-terminated; NULL is FERRY_E_INVALID at submit. @borrowed
 * @param[in]  no_follow  true: of a symbolic link itself, not of what it points to.
 * @completes as @ref ferry_prepare_file_stat. Errors: FERRY_E_NOT_FOUND, FERRY_E_ACCESS,
 *   FERRY_E_NOT_DIRECTORY, FERRY_E_LOOP, FERRY_E_IO, FERRY_E_FULL, FERRY_E_NO_MEMORY,
 *   FERRY_E_CANCELED, FERRY_E_TIMED_OUT.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_path_stat(ferry_request *request, const char *path, bool no_follow);

/**
 * Describe making durable what was written to a file before this was submitted and has completed.
 *
 * @param[out] request    Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file       A file.
 * @param[in]  data_only  true: the bytes and what is needed to read them (fdatasync); false: all
 *                        metadata as well (fsync).
 * @completes result = 0. Errors: FERRY_E_IO, FERRY_E_NO_SPACE, and as for
 *   @ref ferry_prepare_file_read.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_sync(ferry_request *request, ferry_handle file, bool data_only);

/**
 * Describe setting a file's size: what is beyond is dropped, what is missing reads as zeros.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  file     Opened for writing.
 * @param[in]  size     Bytes.
 * @completes result = 0. Errors: FERRY_E_INVALID (not opened for writing), FERRY_E_FILE_TOO_LARGE,
 *   FERRY_E_NO_SPACE, FERRY_E_IO, and as for @ref ferry_prepare_file_read.
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_truncate(ferry_request *request, ferry_handle file,
                                           uint64_t size);

/**
 * Describe storing a whole file so that, whatever happens, the path names the old file or the new
 * one, complete: a temporary file beside it is written, synced and renamed, and the folder synced.
 *
 * @param[out] request  Record to fill; every byte is written. NULL is ignored. @borrowed
 * @param[in]  path     NUL-terminated; NULL is FERRY_E_INVALID at submit. A symbolic link is
 *                      followed: what it names is replaced. @borrowed
 * @param[in]  data     The whole file; NULL only with size 0. @pinned
 * @param[in]  size     Its bytes; may be 0.
 * @param[in]  mode     Permissions, less the umask; 0 = those of the file that is replaced, and its
 *                      owner as far as the system lets us, or 0666. More than 07777 is
 *                      FERRY_E_INVALID at submit.
 * @completes result = bytes stored. On failure the path is as it was, and no temporary file is
 *   left, but for FERRY_E_IO from the folder's sync: then it is replaced, and durable or not.
 *   Errors: FERRY_E_NOT_FOUND, FERRY_E_ACCESS (also to a folder that cannot be read),
 *   FERRY_E_NOT_DIRECTORY, FERRY_E_IS_DIRECTORY, FERRY_E_INVALID (what is there is no regular
 *   file), FERRY_E_LOOP, FERRY_E_READ_ONLY, FERRY_E_NO_SPACE, FERRY_E_FILE_TOO_LARGE,
 *   FERRY_E_NAME_TOO_LONG, FERRY_E_NO_DESCRIPTORS, FERRY_E_NO_MEMORY, FERRY_E_IO,
 *   FERRY_E_CANCELED, FERRY_E_TIMED_OUT (both only before a worker has begun).
 * @threads any  @since API 1
 */
FERRY_API void ferry_prepare_file_store(ferry_request *request, const char *path, const void *data,
                                        size_t size, uint32_t mode);

#ifdef __cplusplus
}
#endif

#endif
