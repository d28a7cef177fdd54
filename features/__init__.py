"""Audio in, arrays out: files, data sets, splits, spectra, augmentation."""

import features._xla  # noqa: F401  # before anything that computes
from features._fingerprint import code_of, counted_in, fingerprint
from features.audio import AudioError, load_audio, save_audio
from features.augmentation_registry import AUGMENTATIONS, register_augmentation
from features.cache import Decoded, Recording, decode_tracks
from features.clips import Clips, concatenate_clips, cut_clips, load_clips
from features.dataset import Track, scan_tracks
from features.excerpts import excerpts
from features.extractors import EXTRACTORS, register_extractor
from features.feature_cache import extract
from features.identity import Identity, identify, same_recording, twins
from features.pictures import log_mel_picture, spectrogram_picture
from features.rhythm import onset_strength, tempogram
from features.rows import Rows
from features.scaling import Standardizer
from features.silence import remove_silence, without_silence
from features.soundness import Quarantined
from features.spectra import delta, log_mel, mel_spectrogram, mfcc
from features.splits import (
    SPLITS,
    LeakError,
    LeakWarning,
    Split,
    check_disjoint,
    register_split,
    split_clips,
    split_folds,
    split_tracks,
)
from features.storage import Interrupted
from features.tonal import chroma, spectral_contrast
from features.waveform import rms, zero_crossing_rate

__all__ = [
    "AUGMENTATIONS",
    "EXTRACTORS",
    "SPLITS",
    "AudioError",
    "Clips",
    "Decoded",
    "Identity",
    "Interrupted",
    "LeakError",
    "LeakWarning",
    "Quarantined",
    "Recording",
    "Rows",
    "Split",
    "Standardizer",
    "Track",
    "check_disjoint",
    "chroma",
    "code_of",
    "concatenate_clips",
    "counted_in",
    "cut_clips",
    "decode_tracks",
    "delta",
    "excerpts",
    "extract",
    "fingerprint",
    "identify",
    "load_audio",
    "load_clips",
    "log_mel",
    "log_mel_picture",
    "mel_spectrogram",
    "mfcc",
    "onset_strength",
    "register_augmentation",
    "register_extractor",
    "register_split",
    "remove_silence",
    "rms",
    "same_recording",
    "save_audio",
    "scan_tracks",
    "spectral_contrast",
    "spectrogram_picture",
    "split_clips",
    "split_folds",
    "split_tracks",
    "tempogram",
    "twins",
    "without_silence",
    "zero_crossing_rate",
]
