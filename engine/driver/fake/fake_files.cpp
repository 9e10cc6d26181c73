// Files in memory.
#include "driver/fake/fake_driver.hpp"

#include <ferry/status.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ferry::driver::fake {

// ---- loading ------------------------------------------------------------------------------------

void FakeDriver::start_load(FileLoad &load) noexcept {
    begin(Call::load, &load);
}

void FakeDriver::cancel_load(FileLoad &load) noexcept {
    cancel(Call::load, &load);
}

Outcome FakeDriver::load(FileLoad &load) noexcept {
    auto found = files_.find(load.path);
    if (found == files_.end())
        return {.status = FERRY_E_NOT_FOUND, .os_error = ENOENT};
    const std::string &contents = *found->second;
    if (contents.size() > load.size_max)
        return {.status = FERRY_E_LIMIT};
    load.data = nullptr;
    if (contents.empty())
        return {};
    Outcome outcome = environment_.host.allocate_load(contents.size(), &load.data);
    if (outcome.status != FERRY_OK)
        return outcome;
    std::memcpy(load.data, contents.data(), contents.size());
    outcome.result = static_cast<int64_t>(contents.size());
    return outcome;
}

// ---- open files ---------------------------------------------------------------------------------

void FakeDriver::start_file(FileCall &call) noexcept {
    begin(Call::file, &call);
}

void FakeDriver::cancel_file(FileCall &call) noexcept {
    cancel(Call::file, &call);
}

Outcome FakeDriver::open_file(FileCall &call) noexcept {
    auto found = files_.find(call.path);
    bool there = found != files_.end();
    if (!there && (call.open_flags & FERRY_OPEN_CREATE) == 0)
        return {.status = FERRY_E_NOT_FOUND, .os_error = ENOENT};
    if (there && (call.open_flags & FERRY_OPEN_EXCLUSIVE) != 0)
        return {.status = FERRY_E_EXISTS, .os_error = EEXIST};
    auto *made = environment_.allocator.create<FakeFile>();
    if (made == nullptr)
        return {.status = FERRY_E_NO_MEMORY};
    if (!there)
        set_file(call.path, "");
    made->contents = files_[call.path];
    made->flags = call.open_flags;
    if ((call.open_flags & FERRY_OPEN_TRUNCATE) != 0)
        made->contents->clear();
    ++open_files_;
    call.file = made;
    return {};
}

static size_t place_of(const FakeFile &file, const FileCall &call) {
    bool writes = call.what == FileCall::What::write;
    if (writes && (file.flags & FERRY_OPEN_APPEND) != 0)
        return file.contents->size();
    return call.offset == FERRY_AT_POSITION ? file.position : call.offset;
}

static Outcome read(FakeFile &file, const FileCall &call) {
    size_t at = place_of(file, call);
    size_t begin = at;
    for (size_t i = 0; i < call.slice_count && at < file.contents->size(); ++i) {
        const ferry_slice &slice = call.slices[i];
        size_t part = std::min<size_t>(slice.size, file.contents->size() - at);
        if (part != 0)
            std::memcpy(slice.data, file.contents->data() + at, part);
        at += part;
    }
    if (call.offset == FERRY_AT_POSITION)
        file.position = at;
    return {.result = static_cast<int64_t>(at - begin)};
}

static std::string gathered(const FileCall &call) {
    std::string all;
    for (size_t i = 0; i < call.slice_count; ++i) {
        if (call.slices[i].size != 0)
            all.append(static_cast<const char *>(call.slices[i].data), call.slices[i].size);
    }
    return all;
}

static Outcome write(FakeFile &file, const FileCall &call) {
    std::string bytes = gathered(call);
    size_t at = place_of(file, call);
    if (file.contents->size() < at + bytes.size())
        file.contents->resize(at + bytes.size());
    file.contents->replace(at, bytes.size(), bytes);
    if (call.offset == FERRY_AT_POSITION)
        file.position = at + bytes.size();
    return {.result = static_cast<int64_t>(bytes.size())};
}

static Outcome tell(const std::string &contents, ferry_file_info *info) {
    *info = {};
    info->size = contents.size();
    info->links = 1;
    info->type = FERRY_FILE_REGULAR;
    info->permissions = 0666;
    return {};
}

static bool allows(const FakeFile &file, FileCall::What what) {
    if (what == FileCall::What::read)
        return (file.flags & FERRY_OPEN_READ) != 0;
    return what != FileCall::What::write || (file.flags & FERRY_OPEN_WRITE) != 0;
}

Outcome FakeDriver::make_call(FileCall &call) noexcept {
    using What = FileCall::What;
    auto *file = static_cast<FakeFile *>(call.file);
    if (file != nullptr && !allows(*file, call.what))
        return {.status = FERRY_E_ACCESS, .os_error = EBADF};
    switch (call.what) {
    case What::open:
        return open_file(call);
    case What::store:
        set_file(call.path, gathered(call));
        return {.result = static_cast<int64_t>(files_[call.path]->size())};
    case What::read:
        return read(*file, call);
    case What::write:
        return write(*file, call);
    case What::stat:
        return tell(*file->contents, call.info);
    case What::path_stat: {
        const std::string *found = this->file(call.path);
        return found != nullptr ? tell(*found, call.info)
                                : Outcome{.status = FERRY_E_NOT_FOUND, .os_error = ENOENT};
    }
    case What::sync:
        return {};
    case What::truncate:
        if ((file->flags & FERRY_OPEN_WRITE) == 0)
            return {.status = FERRY_E_INVALID, .os_error = EINVAL};
        file->contents->resize(call.offset);
        return {};
    }
    return kUnsupported;
}

// Always later, as the seam says.
void FakeDriver::close(File &file) noexcept {
    post(Call::close, &static_cast<FakeFile &>(file));
}

void FakeDriver::finish_close(FakeFile &file) noexcept {
    Outcome outcome;
    fails(Call::close, &outcome);
    environment_.host.closed(file, outcome);
    environment_.allocator.destroy(&file);
    --open_files_;
}

} // namespace ferry::driver::fake
