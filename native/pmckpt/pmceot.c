/* The end of the table of places, for which pmceot.o is linked last. */
#include "pmckpt.h"

extern struct ckpt_place ckpt_places_end_is_in_pmceot_o_;

struct ckpt_place ckpt_places_end_is_in_pmceot_o_ __attribute__((section("ckpt_places"), used)) = {0};
