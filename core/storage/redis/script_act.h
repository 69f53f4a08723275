/* The scripts of store_script_act.c and store_script_move.c, for the table of store_script.c. */
#ifndef PB_CORE_STORE_SCRIPT_ACT_H
#define PB_CORE_STORE_SCRIPT_ACT_H

extern const char store_script_act_replay[], store_script_act_purge[];
extern const char store_script_act_add[], store_script_act_note[], store_script_act_claim[];
extern const char store_script_act_open[], store_script_act_cancel[], store_script_act_list[];
extern const char store_script_move_page[], store_script_move_put[], store_script_move_take[],
    store_script_move_free[];
extern const char store_script_move_back[];
extern const char store_script_move_delayed[], store_script_move_end[], store_script_move_log[],
    store_script_move_left[], store_script_move_holds[];

#endif
