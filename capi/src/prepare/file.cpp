// Prepare functions: files.
#include "begin.hpp"

#include <ferry/file.h>

using ferry::Prepared;
using ferry::word;

void ferry_prepare_file_load(ferry_request *request, const char *path, uint64_t size_max) {
    Prepared load(request, FERRY_OP_FILE_LOAD);
    load->load.path_u64 = word(path);
    load->load.size_max = size_max;
}

void ferry_prepare_file_store(ferry_request *request, const char *path, const void *data,
                              size_t size, uint32_t mode) {
    Prepared store(request, FERRY_OP_FILE_STORE);
    store->store.path_u64 = word(path);
    store->store.data_u64 = word(data);
    store->store.size = size;
    store->store.mode = mode;
}

void ferry_prepare_file_open(ferry_request *request, const char *path, uint32_t flags,
                             uint32_t mode) {
    Prepared open(request, FERRY_OP_FILE_OPEN);
    open->open.path_u64 = word(path);
    open->open.open_flags = flags;
    open->open.mode = mode;
}

static void prepare_transfer(ferry_request *request, uint16_t opcode, ferry_handle file,
                             const void *buffer, size_t size, uint64_t offset) {
    Prepared transfer(request, opcode, file);
    transfer->file.buffer_u64 = word(buffer);
    transfer->file.size = size;
    transfer->file.offset = offset;
}

void ferry_prepare_file_read(ferry_request *request, ferry_handle file, void *buffer, size_t size,
                             uint64_t offset) {
    prepare_transfer(request, FERRY_OP_FILE_READ, file, buffer, size, offset);
}

void ferry_prepare_file_write(ferry_request *request, ferry_handle file, const void *data,
                              size_t size, uint64_t offset) {
    prepare_transfer(request, FERRY_OP_FILE_WRITE, file, data, size, offset);
}

static void prepare_vectored(ferry_request *request, uint16_t opcode, ferry_handle file,
                             const ferry_slice *slices, size_t count, uint64_t offset) {
    Prepared transfer(request, opcode, file);
    transfer->slices.slices_u64 = word(slices);
    transfer->slices.count = count;
    transfer->slices.offset = offset;
}

void ferry_prepare_file_read_vectored(ferry_request *request, ferry_handle file,
                                      const ferry_slice *slices, size_t count, uint64_t offset) {
    prepare_vectored(request, FERRY_OP_FILE_READ_VECTORED, file, slices, count, offset);
}

void ferry_prepare_file_write_vectored(ferry_request *request, ferry_handle file,
                                       const ferry_slice *slices, size_t count, uint64_t offset) {
    prepare_vectored(request, FERRY_OP_FILE_WRITE_VECTORED, file, slices, count, offset);
}

void ferry_prepare_file_stat(ferry_request *request, ferry_handle file) {
    Prepared stat(request, FERRY_OP_FILE_STAT, file);
}

void ferry_prepare_path_stat(ferry_request *request, const char *path, bool no_follow) {
    Prepared stat(request, FERRY_OP_PATH_STAT);
    stat->path.path_u64 = word(path);
    stat->path.no_follow = no_follow;
}

void ferry_prepare_file_sync(ferry_request *request, ferry_handle file, bool data_only) {
    Prepared sync(request, FERRY_OP_FILE_SYNC, file);
    sync->sync.data_only = data_only;
}

void ferry_prepare_file_truncate(ferry_request *request, ferry_handle file, uint64_t size) {
    Prepared truncate(request, FERRY_OP_FILE_TRUNCATE, file);
    truncate->truncate.size = size;
}
