/* version.h - the release, as --version prints it; pom.xml says the same. */
#ifndef CAESURA_CORE_VERSION_H
#define CAESURA_CORE_VERSION_H

#define CAESURA_VERSION "0.1.0"

#endif
