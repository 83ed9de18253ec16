// cxx.cc - the header in C++, and a callback that is a lambda without a capture.
#include <libcr.h>

#include <caesura_job.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <unistd.h>

int main()
{
    std::unique_ptr<cr_rstrt_relocate, decltype(&std::free)> moves{
        static_cast<cr_rstrt_relocate *>(std::calloc(1, CR_RSTRT_RELOCATE_SIZE(CR_MAX_RSTRT_RELOC))), &std::free};
    auto callback = [](void *file) -> int {
        const int rc = cr_checkpoint(CR_CHECKPOINT_READY);
        static_cast<std::ofstream *>(file)->operator<<(rc) << std::endl;
        return 0;
    };
    std::ofstream events{"events", std::ios::app};

    if (!moves || cr_init() < 0 || cr_register_callback(callback, &events, CR_SIGNAL_CONTEXT) < 0)
        return 2;
    std::ofstream{"ready~"} << getpid() << std::endl;
    std::rename("ready~", "ready");
    while (access("go", F_OK) != 0)
        usleep(1000);
    return 0;
}
