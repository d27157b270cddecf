# Made by `python tools/stubs.py --write` from the names at run time; a test compares.

from nbgrad.fft import fft as fft
from nbgrad.fft import fft2 as fft2
from nbgrad.fft import fftfreq as fftfreq
from nbgrad.fft import fftn as fftn
from nbgrad.fft import fftshift as fftshift
from nbgrad.fft import hfft as hfft
from nbgrad.fft import ifft as ifft
from nbgrad.fft import ifft2 as ifft2
from nbgrad.fft import ifftn as ifftn
from nbgrad.fft import ifftshift as ifftshift
from nbgrad.fft import ihfft as ihfft
from nbgrad.fft import irfft as irfft
from nbgrad.fft import irfft2 as irfft2
from nbgrad.fft import irfftn as irfftn
from nbgrad.fft import rfft as rfft
from nbgrad.fft import rfft2 as rfft2
from nbgrad.fft import rfftfreq as rfftfreq
from nbgrad.fft import rfftn as rfftn

