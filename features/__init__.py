"""Audio in, arrays out: files, data sets, splits, spectra."""

from features.audio import AudioError, load_audio, save_audio
from features.cache import Decoded, Quarantined, Recording, decode_tracks
from features.clips import Clips, concatenate_clips, cut_clips, load_clips
from features.dataset import Track, scan_tracks
from features.scaling import Standardizer
from features.spectra import delta, log_mel, mel_spectrogram, mfcc
from features.splits import LeakError, LeakWarning, Split, check_disjoint, split_clips, split_tracks

__all__ = [
    "AudioError",
    "Clips",
    "Decoded",
    "LeakError",
    "LeakWarning",
    "Quarantined",
    "Recording",
    "Split",
    "Standardizer",
    "Track",
    "check_disjoint",
    "concatenate_clips",
    "cut_clips",
    "decode_tracks",
    "delta",
    "load_audio",
    "load_clips",
    "log_mel",
    "mel_spectrogram",
    "mfcc",
    "save_audio",
    "scan_tracks",
    "split_clips",
    "split_tracks",
]
