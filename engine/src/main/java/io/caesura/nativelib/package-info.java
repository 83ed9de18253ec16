/** JNA mappings of libcapture and of the few calls of libc that Java lacks. Nothing else imports JNA. */
@NullMarked
package io.caesura.nativelib;

import org.jspecify.annotations.NullMarked;
