/** What the engine asks of the native capture library; implemented by nativelib, faked by tests. */
@NullMarked
package io.caesura.capture;

import org.jspecify.annotations.NullMarked;
