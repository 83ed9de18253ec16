# The hook and MoM's actions. They are no programs of the tree's users: an administrator gives them to PBS (docs/pbs.md).
$(foreach file,caesura.py caesura.json caesura.qmgr,$(eval $(call stage_data,pbs-hooks/$(file),share/caesura/pbs/$(file))))
$(eval $(call stage_program,pbs-hooks/caesura-action,libexec/caesura/caesura-action))
