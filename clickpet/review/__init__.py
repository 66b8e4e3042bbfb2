"""Review in the browser: look at a study, click, see the mask change, save; one study or the worklist of a run."""
