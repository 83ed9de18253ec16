/** Where contexts are kept: files, folders, the contexts of jobs, and how they are written durably. */
@NullMarked
package io.caesura.store;

import org.jspecify.annotations.NullMarked;
