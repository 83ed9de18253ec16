-- cli_filter.lua: gives jobs with --checkpoint what makes their checkpoints possible, unless the user chose otherwise.
--
-- In slurm.conf: CliFilterPlugins=cli_filter/lua; this file goes beside slurm.conf on every host where jobs are submitted.
-- A site that has a cli_filter.lua already copies caesura_options into it and calls it from its slurm_cli_pre_submit.
-- In plugstack.conf: warning-signal=USR2, so that a job which cannot be protected ignores the warning.

-- Seconds before the time limit at which the job is warned, and time to write a context in. With
-- preempt_send_user_signal the same warning comes when a preemption begins.
local WARNING_S = 120

local function caesura_options(options)
    local spank = options["spank"]
    local ours = spank and spank["caesura"]
    if options["type"] ~= "sbatch" or not (ours and ours["checkpoint"]) then
        return
    end
    -- B: only the batch process, which is the supervisor; the programs below it go on while it checkpoints them.
    if options["signal"] == nil or options["signal"] == "0@0" then
        options["signal"] = "B:USR2@" .. WARNING_S
    end
    -- Each run adds to the output; without this a requeue empties the file.
    if options["open-mode"] == nil then
        options["open-mode"] = "append"
    end
    -- "unset" is the site's JobRequeue; --no-requeue stays.
    if options["requeue"] == nil or options["requeue"] == "unset" then
        options["requeue"] = "set"
    end
end

function slurm_cli_setup_defaults(options, early_pass)
    return slurm.SUCCESS
end

function slurm_cli_pre_submit(options, pack_offset)
    caesura_options(options)
    return slurm.SUCCESS
end

function slurm_cli_post_submit(offset, job_id, step_id)
    return slurm.SUCCESS
end
