/* Where accounts are kept: in what all nodes share. */
#ifndef PB_CORE_ACCOUNT_SOURCE_H
#define PB_CORE_ACCOUNT_SOURCE_H

#include "accounts/accounts.h"

struct broker;

struct accounts_source account_source(struct broker *b);

#endif
