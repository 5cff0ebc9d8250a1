"""Readers of frames and masks: video files, image folders, MATLAB files."""
