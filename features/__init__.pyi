from ._fingerprint import code_of, counted_in, fingerprint
from .audio import AudioError, load_audio
from .augmentation_registry import AUGMENTATIONS, register_augmentation
from .cache import Decoded, Recording, decode_tracks
from .clips import Clips, concatenate_clips, cut_clips, load_clips
from .dataset import Track, scan_tracks
from .embeddings import Embeddings, read_embeddings
from .excerpt_search import excerpts
from .extractors import EXTRACTORS, register_extractor
from .feature_cache import extract
from .identity import Identity, identify, same_recording, twins
from .picture_files import read_pictures
from .pictures import log_mel_picture, spectrogram_picture, tempo_picture
from .rhythm import beats, onset_strength, tempo, tempogram
from .rows import Rows
from .saving import save_audio
from .scaling import Standardizer
from .silence import remove_silence, without_silence
from .soundness import Quarantined
from .spectra import delta, log_mel, mel_spectrogram, mfcc
from .splits import (
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
from .storage import Interrupted
from .tonal import chroma, spectral_contrast
from .waveform import rms, zero_crossing_rate

__all__ = [
    "AUGMENTATIONS",
    "EXTRACTORS",
    "SPLITS",
    "AudioError",
    "Clips",
    "Decoded",
    "Embeddings",
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
    "beats",
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
    "read_embeddings",
    "read_pictures",
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
    "tempo",
    "tempo_picture",
    "tempogram",
    "twins",
    "without_silence",
    "zero_crossing_rate",
]
