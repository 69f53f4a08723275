/* The scripts of store_script_act.c, for the table of store_script.c. */
#ifndef PB_CORE_STORE_SCRIPT_ACT_H
#define PB_CORE_STORE_SCRIPT_ACT_H

extern const char store_script_act_replay[], store_script_act_purge[];
extern const char store_script_act_add[], store_script_act_note[], store_script_act_claim[];
extern const char store_script_act_open[], store_script_act_cancel[], store_script_act_list[];

#endif
