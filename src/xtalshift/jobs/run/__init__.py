"""The main job: methods compared in and out of distribution."""
