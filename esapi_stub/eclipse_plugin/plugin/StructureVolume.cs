using System;

namespace FdpBridge.Eclipse
{
    /// <summary>A structure of the structure set that objectives were made for, and how large it was then.</summary>
    public sealed class StructureVolume
    {
        public readonly int RoiNumber;
        public readonly string RoiName;
        public readonly double VolumeCc;

        /// <summary>How far the host's own volume may be from it before the contours are taken to be others.</summary>
        public readonly double ToleranceCc;

        public StructureVolume(Json json)
        {
            RoiNumber = json["roi_number"].Whole;
            RoiName = json["roi_name"].Text;
            VolumeCc = json["volume_cc"].Value;
            ToleranceCc = json["tolerance_cc"].Value;
        }

        /// <summary>Whether a volume of the host can be that of the same contours; one that is no number is not.</summary>
        public bool Fits(double foundCc)
        {
            return Math.Abs(foundCc - VolumeCc) <= ToleranceCc;
        }
    }
}
