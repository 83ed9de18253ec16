/* loaded.c - libcr by dlopen(), kept to itself; the first argument is its path. This program is not linked with it. */
#include <dlfcn.h>

#include "../../programs/victim.h"
#include "libcr.h"

static int (*checkpoint)(int);
static int events;

static int callback(void *unused)
{
    (void)unused;
    int rc = checkpoint(CR_CHECKPOINT_READY);
    dprintf(events, "%d\n", rc);
    return 0;
}

int main(int argc, char **argv)
{
    events = open("events", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    need(argc > 1);
    check(dlsym(RTLD_DEFAULT, "cr_init") == NULL, "cr_init is there before the library");
    void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!library)
        victim_say(__FILE__, __LINE__, "dlopen", "%s", dlerror());
    need(library);
    check(dlsym(RTLD_DEFAULT, "cr_init") == NULL, "cr_init is visible after a local dlopen()");
    cr_client_id_t (*init)(void) = (cr_client_id_t(*)(void))dlsym(library, "cr_init");
    cr_callback_id_t (*add)(cr_callback_t, void *, int) =
        (cr_callback_id_t(*)(cr_callback_t, void *, int))dlsym(library, "cr_register_callback");
    checkpoint = (int (*)(int))dlsym(library, "cr_checkpoint");
    need(init && add && checkpoint && init() >= 0 && add(callback, NULL, CR_SIGNAL_CONTEXT) >= 0);
    /* Who closes it leaves it there: its handler and thread have to live. */
    dlclose(library);
    ready();
    wait_go();
    finish();
}
