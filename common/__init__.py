"""The engine and the parts that at least two tasks share; it knows no task and no Res2Net."""

from common import opencv

opencv.require()
