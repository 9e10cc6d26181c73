// Storing a whole file so that its path always names the old file or the new one, complete.
//
// A temporary file in the same folder is written, synced and renamed, then the folder is synced. All of
// it by the folder's descriptor, so that the folder may be moved meanwhile and the temporary's name is
// never too long.
#include "driver/uv/file_calls.hpp"
#include "driver/uv/jobs.hpp"
#include "driver/uv/status.hpp"

#include <ferry/status.h>

#include <sys/stat.h>

#include <cerrno>
#include <climits>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace ferry::driver::uv {

namespace {

// As many as Linux follows.
constexpr int kLinksMax = 40;
constexpr int kNamesTried = 16;
constexpr mode_t kSetId = S_ISUID | S_ISGID;

template <class Call> int until_uninterrupted(Call &&call) {
    int result;
    do
        result = call();
    while (result < 0 && errno == EINTR);
    return result;
}

// Errors are the system's numbers here, 0 = none.
class Store {
  public:
    explicit Store(const FileCall &call) : call_(call) {}
    ~Store() {
        discard();
        if (folder_ >= 0)
            ::close(folder_);
    }
    Store(const Store &) = delete;
    Store &operator=(const Store &) = delete;

    Outcome run() {
        if (int error = find())
            return outcome_of(error);
        if (int error = look())
            return outcome_of(error);
        if (int error = create())
            return outcome_of(error);
        Outcome written = write_file(file_, call_);
        if (written.status != FERRY_OK)
            return {.status = written.status, .os_error = written.os_error};
        if (int error = complete())
            return outcome_of(error);
        if (renameat(folder_, temporary_, folder_, name_) != 0)
            return outcome_of(errno);
        temporary_[0] = '\0';
        if (int error = sync_folder())
            return {.status = FERRY_E_IO, .os_error = error, .result = written.result};
        return {.result = written.result};
    }

  private:
    int find();
    int enter(const char *path);
    int look();
    int create();
    int complete();
    int keep_permissions();
    int sync_folder();
    void discard();

    const FileCall &call_;
    int folder_ = -1;
    int file_ = -1; // The temporary.
    char name_[NAME_MAX + 1] = "";
    char temporary_[32] = ""; // Its name while it is there.
    bool replaces_ = false;
    struct stat old_ = {};
};

// Open the folder of a path, as seen from the folder before, and note its last part.
int Store::enter(const char *path) {
    const char *slash = std::strrchr(path, '/');
    const char *name = slash != nullptr ? slash + 1 : path;
    size_t size = static_cast<size_t>(name - path);
    char folder[PATH_MAX] = ".";
    if (path[0] == '\0')
        return ENOENT;
    if (size >= sizeof folder || std::strlen(name) > NAME_MAX)
        return ENAMETOOLONG;
    if (size != 0) {
        std::memcpy(folder, path, size);
        folder[size] = '\0';
    }
    int from = folder_ >= 0 ? folder_ : AT_FDCWD;
    int fd = until_uninterrupted(
        [&] { return openat(from, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
    int error = fd < 0 ? errno : 0;
    if (folder_ >= 0)
        ::close(folder_);
    folder_ = fd;
    if (error != 0)
        return error;
    if (name[0] == '\0' || std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0)
        return EISDIR;
    std::strcpy(name_, name); // NOLINT: measured above.
    return 0;
}

// Where the path leads to, its last part's symbolic links followed. What is there need not exist.
int Store::find() {
    char link[PATH_MAX];
    const char *path = call_.path;
    for (int links = 0; links <= kLinksMax; ++links) {
        if (int error = enter(path))
            return error;
        ssize_t size = readlinkat(folder_, name_, link, sizeof link);
        if (size < 0)
            return errno == EINVAL || errno == ENOENT ? 0 : errno;
        if (static_cast<size_t>(size) == sizeof link)
            return ENAMETOOLONG;
        link[size] = '\0';
        path = link;
    }
    return ELOOP;
}

// What would be replaced; a device or a FIFO is no file to put another in the place of.
int Store::look() {
    if (fstatat(folder_, name_, &old_, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? 0 : errno;
    replaces_ = true;
    if (S_ISDIR(old_.st_mode))
        return EISDIR;
    return S_ISREG(old_.st_mode) ? 0 : EINVAL;
}

int Store::create() {
    mode_t mode = call_.mode != 0 ? call_.mode : replaces_ ? 0600 : 0666;
    int error = EEXIST;
    for (int i = 0; i < kNamesTried && error == EEXIST; ++i) {
        uint64_t random;
        error = -uv_random(nullptr, nullptr, &random, sizeof random, 0, nullptr);
        if (error != 0)
            break;
        char name[sizeof temporary_];
        std::snprintf(name, sizeof name, ".ferry-%016llx", static_cast<unsigned long long>(random));
        constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
        file_ = until_uninterrupted([&] { return openat(folder_, name, kFlags, mode); });
        error = file_ < 0 ? errno : 0;
        if (error == 0)
            std::memcpy(temporary_, name, sizeof name);
    }
    return error;
}

// Those of the file that is replaced, and its owner if we may: or else none of the bits that lend rights.
int Store::keep_permissions() {
    mode_t mode = old_.st_mode & 07777;
    struct stat now;
    if (fstat(file_, &now) != 0)
        return errno;
    bool same = now.st_uid == old_.st_uid && now.st_gid == old_.st_gid;
    if (!same && fchown(file_, old_.st_uid, old_.st_gid) != 0)
        mode &= ~kSetId;
    return fchmod(file_, mode) != 0 ? errno : 0;
}

// All that may still fail must have failed before the temporary gets the name.
int Store::complete() {
    int error = 0;
    if (call_.mode == 0 && replaces_)
        error = keep_permissions();
    if (error == 0)
        error = until_uninterrupted([&] { return fsync(file_); }) != 0 ? errno : 0;
    if (error != 0)
        return error;
    Outcome closed = close_file(file_);
    file_ = -1;
    return closed.os_error;
}

int Store::sync_folder() {
    if (until_uninterrupted([&] { return fsync(folder_); }) == 0)
        return 0;
    return errno == EINVAL ? 0 : errno; // A file system that has no such thing.
}

void Store::discard() {
    if (file_ >= 0)
        ::close(file_);
    if (temporary_[0] != '\0')
        unlinkat(folder_, temporary_, 0);
}

} // namespace

Outcome store_file(const FileCall &call) noexcept {
    return Store(call).run();
}

} // namespace ferry::driver::uv
