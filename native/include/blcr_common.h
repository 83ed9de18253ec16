/*
 * blcr_common.h - versions and constants that software written for BLCR looks for. Part of libcr.h.
 */
#ifndef CAESURA_BLCR_COMMON_H
#define CAESURA_BLCR_COMMON_H

/* The release of BLCR whose interface this is. */
#define CR_RELEASE_MAJOR 0
#define CR_RELEASE_MINOR 8
#define CR_RELEASE_PATCH 6
#define CR_RELEASE_VERSION "0.8.6"

#define LIBCR_MAJOR 0
#define LIBCR_MINOR 5
#define LIBCR_PATCH 5
#define LIBCR_VERSION "0.5.5"

/* There is no kernel module. */
#define CR_MODULE_MAJOR 0
#define CR_MODULE_MINOR 0
#define CR_MODULE_PATCH 0
#define CR_MODULE_VERSION "0.0.0"

/* The real-time signal that libcr takes for itself. */
#define CR_SIGNUM 64

/* Error codes, beside those of errno.h. cr_strerror() knows both. A command exits with the lower 8 bits. */
#define CR_MIN_ERRCODE 2353
#define CR_ETEMPFAIL 2354
#define CR_EPERMFAIL 2355
#define CR_ENOSUPPORT 2356
#define CR_EVERSION 2357
#define CR_EOMITTED 2358
#define CR_EBADARCH 2359
#define CR_EPTRACED 2360
#define CR_EPTRACER 2361
#define CR_ERSTRTABRT 2362
#define CR_ERESTARTED 2363
#define CR_ENOTCB 2364
#define CR_ENOINIT 2365
#define CR_MAX_ERRCODE 2366

#endif
