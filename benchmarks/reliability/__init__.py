"""What studies survive: killed workers, restarted servers, full disks, clocks that disagree."""
