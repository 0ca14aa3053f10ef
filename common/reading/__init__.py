"""Files in: pictures, videos, annotations and the layouts that several data sets share."""
